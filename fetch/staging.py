"""A hidden folder in which files become what they are to be, and from which they are moved to where they go."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import PurePath

from scitq.fetch import faults
from scitq.fetch.errors import UnsupportedError
from scitq.fetch.part import MARK


@contextmanager
def hidden_folder(folder: str) -> Iterator[str]:
    """Inside `folder`, so that moving out of it is a renaming; folders that are made for it go again in a failure."""
    name = os.path.join(folder, f".{secrets.token_hex(6)}{MARK}")
    missing = [above for above in (folder, *map(str, PurePath(folder).parents)) if not os.path.lexists(above)]
    with faults.of_files(name):
        os.makedirs(name)
    try:
        try:
            yield name
        finally:
            shutil.rmtree(name)
    except BaseException:
        for above in missing:
            with suppress(OSError):  # by now there is something else in it
                os.rmdir(above)
        raise


def merge(source: str, target: str) -> None:
    """What is in one folder goes into another, and may meet what is there: files are replaced, folders joined.

    It never goes through a link: what an archive brought earlier may be one.
    """
    with faults.of_files(target):
        os.makedirs(target, exist_ok=True)
        for entry in list(os.scandir(source)):
            goal = os.path.join(target, entry.name)
            is_folder = entry.is_dir(follow_symlinks=False)
            met = _kind(goal)
            if is_folder and met == "folder":
                merge(entry.path, goal)
            elif met is None or (met == "file" and not is_folder):
                os.rename(entry.path, goal)
            else:
                raise UnsupportedError(f"{goal} is a {met}, and what is to take its place is not")


def _kind(path: str) -> str | None:
    if os.path.islink(path):
        return "link"
    if os.path.isdir(path):
        return "folder"
    return "file" if os.path.lexists(path) else None
