"""Writing what an archive says into a folder, and nowhere else, however hostile the archive is.

The folder is new and empty. Nothing is ever written through a link: links are made last, when all files are there. A
link may begin with `..`, but not have it after a name, and must lead into the folder; as each of them does on its own,
no chain of them leads out either. Execute bits are kept; setuid, owners, and the right of others to write are not.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Final

from scitq.fetch import faults
from scitq.fetch.budget import Budget
from scitq.fetch.errors import NotSafe

_DEEPEST: Final = 200
_SHOWN: Final = 100


class Extraction:
    """Into `folder`. When a method raises, what is there is to be thrown away."""

    def __init__(self, folder: str, budget: Budget) -> None:
        self._folder = folder
        self._budget = budget
        self._files: set[str] = set()
        self._folders: dict[str, int | None] = {"": None}
        self._links: dict[str, str] = {}

    def folder(self, name: str, mode: int | None) -> None:
        self._budget.entry()
        if parts := self._parts(name):
            self._make_folders(parts)
            self._folders["/".join(parts)] = mode

    def file(self, name: str, mode: int | None, modified_s: float | None, pieces: Iterable[bytes]) -> None:
        """One that comes again replaces the first: this is how tar appends."""
        key, path = self._way_to(name)
        with faults.of_files(path):
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            try:
                for piece in pieces:
                    written = 0
                    while written < len(piece):
                        written += os.write(descriptor, piece[written:] if written else piece)
                os.fchmod(descriptor, 0o644 if mode is None else mode & 0o755 | 0o600)
                if modified_s is not None:
                    os.utime(descriptor, (modified_s, modified_s))
            finally:
                os.close(descriptor)
        self._files.add(key)

    def hard_link(self, name: str, to: str) -> None:
        target = "/".join(self._parts(to))
        if target not in self._files or target == "/".join(self._parts(name)):
            raise NotSafe(f"the archive has a link to {_short(to)}, which is none of its files")
        key, path = self._way_to(name)
        with faults.of_files(path):
            os.link(os.path.join(self._folder, target), path, follow_symlinks=False)
        self._files.add(key)

    def link(self, name: str, to: str) -> None:
        """Remembered, and made at the end."""
        self._budget.entry()
        parts = self._parts(name)
        if not parts:
            raise NotSafe("the archive makes a link of its own folder")
        steps = [step for step in to.split("/") if step not in ("", ".")]
        ups = next((number for number, step in enumerate(steps) if step != ".."), len(steps))
        leads_out = not to or to.startswith("/") or "\0" in to or ".." in steps[ups:] or ups >= len(parts)
        if leads_out:
            raise NotSafe(f"the archive has a link that leads out of it: {_short(name)} to {_short(to)}")
        self._links["/".join(parts)] = to

    def refuse(self, name: str, kind: str) -> None:
        raise NotSafe(f"the archive holds a {kind}, which is no data: {_short(name)}")

    def finish(self) -> None:
        """Links, and the modes of folders, which might have been in the way."""
        for name, to in self._links.items():
            path = self._at(name.split("/"))
            with faults.of_files(path):
                if os.path.lexists(path):
                    raise NotSafe(f"the archive has a link and something else of the same name: {_short(name)}")
                os.symlink(to, path)
        for name, mode in self._folders.items():
            if mode is not None and name:
                os.chmod(os.path.join(self._folder, name), mode & 0o755 | 0o700)

    def _way_to(self, name: str) -> tuple[str, str]:
        """Where a file goes. What an entry before it made of that name makes way, if it is a file."""
        self._budget.entry()
        parts = self._parts(name)
        key = "/".join(parts)
        if not parts or key in self._folders:
            raise NotSafe(f"the archive has a file and a folder of the same name: {_short(name)}")
        path = self._at(parts)
        if key in self._files:
            os.unlink(path)
            self._files.remove(key)
        return key, path

    def _at(self, parts: list[str]) -> str:
        self._make_folders(parts[:-1])
        return os.path.join(self._folder, *parts)

    def _make_folders(self, parts: list[str]) -> None:
        """The last is known if all are: so this is one look for most entries."""
        if "/".join(parts) in self._folders:
            return
        for length in range(1, len(parts) + 1):
            name = "/".join(parts[:length])
            if name in self._files:
                raise NotSafe(f"the archive has a file and a folder of the same name: {_short(name)}")
            if name not in self._folders:
                with faults.of_files(name):
                    os.mkdir(os.path.join(self._folder, name))
                self._folders[name] = None

    @staticmethod
    def _parts(name: str) -> list[str]:
        """The words of a name that stays below, whatever it is joined to."""
        if name.startswith("/") or "\0" in name:
            raise NotSafe(f"the archive has a name that leads out of it: {_short(name)}")
        parts = [part for part in name.split("/") if part not in ("", ".")]
        if ".." in parts:
            raise NotSafe(f"the archive has a name that leads out of it: {_short(name)}")
        if len(parts) > _DEEPEST:
            raise NotSafe(f"the archive has folders in folders, more than {_DEEPEST} deep")
        return parts


def _short(name: str) -> str:
    return repr(name if len(name) <= _SHOWN else name[: _SHOWN - 1] + "…")
