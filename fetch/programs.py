"""Programs that some transfers need and others are faster with: what each is for, and how it is installed."""

from __future__ import annotations

from typing import Final, NamedTuple

from scitq.fetch.errors import NotInstalled


class Program(NamedTuple):
    name: str
    use: str  # completes "… is for"
    install: str


_ELSE: Final = "without it docker runs it in a container"
_ALL: Final = (
    Program("rclone", "object stores, and whatever else rclone.conf describes", "Debian: apt-get install rclone"),
    Program("zstd", ".zst archives", "Debian: apt-get install zstd"),
    Program("pigz", "gunzip on several cores; without it one core does it", "Debian: apt-get install pigz"),
    Program("aria2c", "downloads over several connections at once", "Debian: apt-get install aria2"),
    Program("ascp", f"fasp, a fast way to some archives; {_ELSE}", "IBM's aspera-cli, or its transfer SDK, has it"),
    Program("fasterq-dump", f"runs that only SRA has; {_ELSE}", "Debian: apt-get install sra-toolkit"),
    Program("ncdu", "looking through large folders", "Debian: apt-get install ncdu"),
)
PROGRAMS: Final = {one.name: one for one in _ALL}


def missing(name: str) -> NotInstalled:
    """The refusal of what cannot be done without it."""
    return NotInstalled(f"{name} is needed for this and is not installed ({PROGRAMS[name].install})")
