"""The page of the settings, made from their declarations: docs/parameters.md."""

from __future__ import annotations

from scitq.config.declared import Computed, Hidden, Setting
from scitq.config.settings import NAMES

INTRODUCTION = """\
# Settings

<!-- Written by `make docs`. Change the declarations in scitq/config/settings.py. -->

A value is taken from the first of these places that has one:

1. a flag of the command, where it has such a flag;
2. the environment;
3. `~/.config/scitq/scitq.conf` (or `scitq/scitq.conf` in `$XDG_CONFIG_HOME`);
4. `/etc/scitq.conf`;
5. the default.

`scitq-manage config show` says which value is in force and where it comes from, and hides secrets.

A file has one `KEY=value` on each line. A line that begins with `#` is a comment; a value may stand in single or double
quotes. An empty value is no value. A path in a file is absolute or begins with `~`. A key that is nearly a setting, or
begins with `SCITQ_`, is refused; keys of other programs are named and passed over.
"""

ENDING = """\
## The token of a server

A server makes its token at its first start and keeps it in `SCITQ_DATA`, in the file `token`, which only its user can
read. Clients of the same user on the same machine find it by themselves, in `scitq/tokens` of `$XDG_CONFIG_HOME` or
`~/.config`, by the server's host and port. Other clients need it in `SCITQ_TOKEN`, or as `SCITQ_SERVER=x:TOKEN@host`.
"""


def page() -> str:
    return "\n".join([INTRODUCTION, *map(_section, NAMES.values()), ENDING])


def _section(one: Setting) -> str:
    default = f"`{one.default}`" if one.default else "none"
    if isinstance(one.default, Computed):
        default = one.default.words
    hidden = "" if one.hidden is Hidden.NOTHING else f"\n- Secret: {one.hidden.value}."
    return f"## {one.name}\n\n{one.help}\n\n- Right: {one.kind.words}.\n- Default: {default}.{hidden}\n"
