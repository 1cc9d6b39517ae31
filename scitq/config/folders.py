"""The user's folders, by the XDG base directory specification. Without a home folder there are none."""

from __future__ import annotations

import os
import pwd
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

SYSTEM_FILE = Path("/etc/scitq.conf")


def home(environ: Mapping[str, str]) -> Path | None:
    if given := _absolute(environ.get("HOME")):
        return given
    try:
        return Path(pwd.getpwuid(os.geteuid()).pw_dir)
    except KeyError:  # a container's user may have a number and no name
        return None


def config_folder(environ: Mapping[str, str]) -> Path | None:
    return _under(environ, "XDG_CONFIG_HOME", ".config")


def data_folder(environ: Mapping[str, str]) -> Path | None:
    return _under(environ, "XDG_DATA_HOME", ".local/share")


def config_files(environ: Mapping[str, str]) -> tuple[Path, ...]:
    """The files that are read, the weakest first."""
    own = config_folder(environ)
    return (SYSTEM_FILE,) if own is None else (SYSTEM_FILE, own / "scitq.conf")


def make_private(path: Path) -> None:
    """A folder for this user alone, and those above it that are not there yet."""
    if not path.parent.exists():
        make_private(path.parent)
    with suppress(FileExistsError):
        path.mkdir(mode=0o700)
        path.chmod(0o700)  # whatever the umask took


def _under(environ: Mapping[str, str], variable: str, otherwise: str) -> Path | None:
    base = _absolute(environ.get(variable))
    if base is None and (own := home(environ)) is not None:
        base = own / otherwise
    return None if base is None else base / "scitq"


def _absolute(text: str | None) -> Path | None:
    """The specification says to ignore a path that is not absolute."""
    return Path(text) if text and text.startswith("/") and text.isprintable() else None
