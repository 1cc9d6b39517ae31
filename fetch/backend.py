"""What every protocol implements: the same verbs with the same meaning, one file at a time.

Written once above the backends, so not here: tries and pauses (`tries.py`), temporary names, checksums (`part.py`),
folders, several files at once (`verbs.py`), progress and cancellation (`watch.py`). A verb may be called from several
threads at once. It raises the errors of `errors.py` and no others, and never waits without a limit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Literal

from scitq.fetch.errors import UnsupportedError
from scitq.fetch.part import Part
from scitq.fetch.uri import URI
from scitq.fetch.watch import Cancellation, FileWatch, FolderWatch

if TYPE_CHECKING:
    from scitq.fetch.moving import Mover

Kind = Literal["file", "dir", "link", "unknown"]


@dataclass(frozen=True, slots=True)
class Item:
    """One file or folder, as its store describes it. What the store does not say is None; times are UTC."""

    uri: URI
    rel_name: str
    """Its name below the folder that was listed. That of a folder ends with a slash."""
    type: Kind = "file"
    size: int | None = None
    creation_date: datetime | None = None
    modification_date: datetime | None = None
    md5: str | None = None

    @property
    def name(self) -> str:
        return str(self.uri)


class Backend:
    """A verb that a protocol does not have is refused in words, by this class."""

    def stat(self, uri: URI, cancellation: Cancellation, *, md5: bool = False) -> Item:
        """What is there, with its MD5 if it is asked for and can be had. `NotFound` if nothing is."""
        raise self._cannot(uri, "be asked about")

    def list(
        self, uri: URI, cancellation: Cancellation, *, recursive: bool = True, md5: bool = False
    ) -> Iterator[Item]:
        """What is in a folder and, if recursive, below. The name of a file yields that file."""
        raise self._cannot(uri, "be listed: name a file")

    def get(self, uri: URI, part: Part, watch: FileWatch) -> None:
        """The bytes of a file, from `part.size` on if the source is still the one of the try before."""
        raise self._cannot(uri, "be read from")

    def put(self, source: str, uri: URI, watch: FileWatch) -> None:
        """A file from here; folders are made on the way. It is there whole, or not at all."""
        raise self._cannot(uri, "be written to")

    def delete(self, uri: URI, cancellation: Cancellation) -> None:
        """A file, or a folder that is empty. What is gone already is no error."""
        raise self._cannot(uri, "be deleted from")

    def brings(self, uri: URI) -> bool:
        """Whether it stands for several files that only this protocol knows how to come by: see `bring`."""
        return False

    def bring(self, uri: URI, folder: str, mover: Mover) -> None:
        """All of them into a folder of this machine that is empty, whole and verified; it tries again by itself."""
        raise self._cannot(uri, "be read from")

    def copies(self, source: URI, target: URI) -> bool:
        """Whether `copy` does it without the bytes passing through here."""
        return False

    def copy(self, source: URI, target: URI, watch: FileWatch) -> None:
        """A file from one place of this store to another."""
        raise self._cannot(target, "be copied within")

    def takes_folders(self, source: URI, target: URI) -> bool:
        """Whether `copy_folder` moves many small files faster than they are moved one by one."""
        return False

    def goes_with_others(self, source: URI) -> bool:
        """Whether `copy_folder` can take this file; it is moved by itself otherwise."""
        return True

    def copy_folder(
        self, source: URI, target: URI, names: Sequence[str] | None, watch: FolderWatch, at_once: int
    ) -> None:
        """Files below a folder, all or those named, to the same names below another. When it is called again after a
        failure, what is there already is not moved again."""
        raise self._cannot(target, "be copied to")

    @staticmethod
    def _cannot(uri: URI, what: str) -> UnsupportedError:
        return UnsupportedError(f"{uri.protocol}:// cannot {what} ({uri.shown})")
