"""The programs that move data: which are here, and which places rclone.conf names. Its secrets are not looked at."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from typing import Final

from scitq.agents.doctor import Finding, absent, broken, good
from scitq.fetch.programs import PROGRAMS
from scitq.fetch.rclone_daemon import config_path, remotes

SOON_S: Final = 10.0
_ASKED: Final = {"rclone": "version", "ascp": "-A"}
_VERSION: Final = re.compile(r"\d+(\.\d+)+")
MOST_REMOTES: Final = 20


def program(name: str) -> Iterator[Finding]:
    """Whether it is here and runs."""
    one, path = PROGRAMS[name], shutil.which(name)
    if path is None:
        yield absent(f"not installed; it is for {one.use} ({one.install})")
        return
    try:
        done = subprocess.run(
            [path, _ASKED.get(name, "--version")],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=SOON_S, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        reason = (
            f"it does not answer within {SOON_S:g} s" if isinstance(error, subprocess.TimeoutExpired) else str(error)
        )
        yield broken(f"{path} cannot be run: {reason}; install it anew ({one.install})")
        return
    said = done.stdout.decode(errors="replace").strip().splitlines()
    if done.returncode:
        why = f": {said[-1][:200]}" if said else ""
        yield broken(f"{path} ends with {done.returncode}{why}; install it anew ({one.install})")
    else:
        version = _VERSION.search(" ".join(said))
        yield good(f"{version[0]} ({path})" if version else path)


def rclone() -> Iterator[Finding]:
    """It, and its configuration."""
    found = list(program("rclone"))
    names = remotes()
    if names and found[0].state == "absent":
        yield broken(f"{config_path()} describes {_listed(names)}, and rclone is {found[0].text}")
        return
    yield from found
    if names:
        yield good(f"{config_path()} describes {_listed(names)}")
    elif found[0].state == "good":
        yield absent("no place is described: make an rclone.conf with `rclone config`, or name it (SCITQ_RCLONE_CONF)")


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - MOST_REMOTES} more" if len(names) > MOST_REMOTES else ""
    return ", ".join(f"{name}://" for name in names[:MOST_REMOTES]) + more
