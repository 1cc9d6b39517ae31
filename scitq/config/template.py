"""A file of settings to fill in, made from their declarations: deploy/scitq.conf.example."""

from __future__ import annotations

import textwrap
from typing import Final

from scitq.config.declared import Computed, Hidden, Setting
from scitq.config.settings import NAMES

WIDTH: Final = 110
INTRODUCTION: Final = """\
# Settings of scitq. Printed by `scitq config template`; copy it to /etc/scitq.conf or ~/.config/scitq/scitq.conf, take
# the # from the lines you need, and ask `scitq config show` what is in force. systemd reads the same file
# (EnvironmentFile=), so that it may belong to root alone: chmod 640, for it holds secrets.
"""


def template() -> str:
    """Every line is a comment: as it is, the file sets nothing."""
    return "\n".join([INTRODUCTION, *map(_entry, NAMES.values())])


def _entry(one: Setting) -> str:
    words = f"{one.help} It is {one.kind.words}."
    if isinstance(one.default, Computed):
        words += f" Without it: {one.default.words.replace('`', '')}."
    elif not one.default:
        words += " Without it: none."
    if one.hidden is not Hidden.NOTHING:
        words += f" Secret: {one.hidden.value}."
    default = "" if one.default is None or isinstance(one.default, Computed) else one.default
    return "".join(f"# {line}\n" for line in textwrap.wrap(words, WIDTH)) + f"#{one.name}={default}\n"
