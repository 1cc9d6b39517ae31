"""One file, or many, from one place to another: the way is chosen by where the two are."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Self

from scitq.fetch import faults
from scitq.fetch.backend import Backend, Item
from scitq.fetch.backends import backend_of
from scitq.fetch.errors import HERE, Corrupt, FetchError, NotFound, NotSafe
from scitq.fetch.many import each
from scitq.fetch.part import Part
from scitq.fetch.staging import hidden_folder, merge
from scitq.fetch.tries import PATIENT, Patience, persistently
from scitq.fetch.uri import URI
from scitq.fetch.watch import FileWatch, Watch

log = logging.getLogger(__name__)

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
AT_ONCE: Final = 10
AT_ONCE_HERE: Final = 4
"""Between folders of this machine: more than one as they may lie on a network, few as a disk gains nothing by it."""


@dataclass(frozen=True, slots=True)
class Move:
    """A file, and where it goes."""

    source: URI
    target: URI
    name: str
    size: int | None = None
    modified_ns: int | None = None
    """The time it is to have here: that of the listing, so that a later comparison finds it unchanged."""
    md5: str | None = None
    """What its list says of it, where the server does not."""
    mirrors: tuple[URI, ...] = ()
    """Where the same file is as well, to be asked one after the other if the source fails."""

    @classmethod
    def of(cls, item: Item, target: URI) -> Self:
        told = item.modification_date if item.uri.protocol != "file" else None
        modified_ns = None if told is None else (told - _EPOCH) // timedelta(microseconds=1) * 1_000
        return cls(item.uri, target.as_folder.child(item.rel_name), item.rel_name, item.size, modified_ns, item.md5)


@dataclass(frozen=True, slots=True)
class Mover:
    """Moves files of one call."""

    watch: Watch
    patience: Patience = PATIENT
    at_once: int | None = None

    def listed(self, folder: URI, *, md5: bool = False, recursive: bool = True) -> list[Item]:
        """Everything below; each name is looked at before anything is done with it: a server may send any."""
        cancellation = self.watch.cancellation

        def once() -> list[Item]:
            return list(backend_of(folder).list(folder, cancellation, recursive=recursive, md5=md5))

        items = persistently(once, folder.shown, cancellation, self.patience)
        for item in items:
            _check_below(item.rel_name, folder)
        return items

    def folder(self, source: URI, target: URI, only: frozenset[str] | None = None) -> None:
        """All files below `source`, or those named, to the same names below `target`."""
        if only is None and target.protocol == "file" and _between(source, target).takes_folders(source, target):
            self._as_it_is(source, target)
            return
        items = [item for item in self.listed(source.as_folder) if only is None or item.rel_name in only]
        if only is not None and (missing := only - {item.rel_name for item in items}):
            raise NotFound(f"{source.shown} does not have {sorted(missing)[0]!r}")
        self.below(source, target, files_of(items), whole=only is None)
        if target.protocol == "file":  # those that are empty; folders that come with files come as a whole
            _make_folders(os.path.join(target.path, item.rel_name) for item in items if item.type == "dir")

    def below(self, source: URI, target: URI, items: list[Item], *, whole: bool = False) -> None:
        """These files of a folder; `whole` if there are no others."""
        moves = [Move.of(item, target) for item in items]
        backend = _between(source, target)
        together: list[Move] = []
        if len(moves) > 1 and backend.takes_folders(source, target):
            together = [move for move in moves if backend.goes_with_others(move.source)]
        for move in together:
            self.watch.file(move.name, move.size)
        taken = {move.name for move in together}
        self.files([move for move in moves if move.name not in taken])
        if not together:
            return
        names = None if whole and len(together) == len(moves) else sorted(taken)

        if target.protocol != "file":
            self._together(source, target, names, listed=True)
            return
        with hidden_folder(target.path) as stage:
            self._together(source, URI.of_file(stage), names, listed=True)
            _check_arrived(together, stage)
            merge(stage, target.path)

    def _as_it_is(self, source: URI, target: URI) -> None:
        """A whole folder, by a backend that lists it anyway: it is not listed by us before, which may take minutes."""
        self.watch.all_begun()
        with hidden_folder(target.path) as stage:
            self._together(source, URI.of_file(stage), None, listed=False)
            if not os.listdir(stage):  # to stores of names alone, a folder that is not there is an empty one
                self.listed(source.as_folder)
            merge(stage, target.path)

    def _together(self, source: URI, target: URI, names: list[str] | None, *, listed: bool) -> None:
        backend = _between(source, target)
        watch = self.watch.folder(source.name, listed=listed)

        def once() -> None:
            backend.copy_folder(source.as_folder, target.as_folder, names, watch, self.at_once or AT_ONCE)

        persistently(once, source.shown, self.watch.cancellation, self.patience)

    def files(self, moves: list[Move]) -> None:
        """Several at once."""
        _make_folders({os.path.dirname(move.target.path) for move in moves if move.target.protocol == "file"})
        watched = [(move, self.watch.file(move.name, move.size)) for move in moves]
        self.watch.all_begun()
        here = all(move.source.protocol == move.target.protocol == "file" for move in moves)
        at_once = self.at_once or (AT_ONCE_HERE if here else AT_ONCE)
        each(lambda pair: self._file(*pair), watched, at_once, self.watch.cancellation)

    def _file(self, move: Move, watch: FileWatch) -> None:
        if move.target.protocol == "file":
            self._get(move, move.target.path, watch, move.modified_ns)
        elif move.source.protocol == "file":
            self._put(move.source.path, move.target, watch)
        elif backend_of(move.target).copies(move.source, move.target):
            self._try(lambda: backend_of(move.target).copy(move.source, move.target, watch), move.target, watch)
        else:
            with tempfile.TemporaryDirectory(prefix="scitq-fetch-") as folder:
                here = os.path.join(folder, "file")
                self._get(move, here, self._unseen(move))
                self._put(here, move.target, watch)
        watch.done()

    def _get(self, move: Move, target: str, watch: FileWatch, modified_ns: int | None = None) -> None:
        errors: list[FetchError] = []
        with Part(target) as part:
            for source in (move.source, *move.mirrors):
                try:
                    self._arrive(source, part, watch, move.md5)
                    break
                except FetchError as error:
                    watch.cancellation.check()
                    errors.append(error)
                    if isinstance(error, HERE):
                        raise
                    part.restart()
            else:
                raise next((error for error in errors if error.retryable), errors[-1])
            part.expect(modified_ns=modified_ns)
            part.land()

    def _arrive(self, source: URI, part: Part, watch: FileWatch, md5: str | None) -> None:
        backend = backend_of(source)

        def once() -> None:
            watch.again(part.size)
            part.expect(md5=md5)  # so that it is computed on the way
            backend.get(source, part, watch)
            part.expect(md5=md5)
            part.verify()

        persistently(once, source.shown, watch.cancellation, self.patience, lambda: part.size)

    def _put(self, source: str, target: URI, watch: FileWatch) -> None:
        self._try(lambda: backend_of(target).put(source, target, watch), target, watch)

    def _try(self, work: Callable[[], None], target: URI, watch: FileWatch) -> None:
        def once() -> None:
            watch.again()
            work()

        persistently(once, target.shown, watch.cancellation, self.patience)

    def _unseen(self, move: Move) -> FileWatch:
        """What passes through here is told once, when it goes out."""
        return Watch(None, self.watch.cancellation, self.watch.stall_s).file(move.name, move.size)


def _between(source: URI, target: URI) -> Backend:
    """The one to be asked whether it moves a folder from here to there."""
    return backend_of(source if target.protocol == "file" else target)


def files_of(items: Iterable[Item]) -> list[Item]:
    """What can be moved; what cannot is named in the log."""
    files = []
    for item in items:
        if item.type == "file":
            files.append(item)
        elif item.type != "dir":
            log.warning("left out, as it is no file, nor a link to one in its folder: %r", item.rel_name)
    return files


def _check_arrived(moves: list[Move], folder: str) -> None:
    """That each is there, in its size; and gives it its time."""
    for move in moves:
        path = os.path.join(folder, move.name)
        with faults.of_files(path):
            size = os.stat(path).st_size
            if move.modified_ns is not None:
                os.utime(path, ns=(move.modified_ns, move.modified_ns))
        if move.size not in (None, size):
            raise Corrupt(f"{move.source.shown}: {size} bytes arrived, and the source has {move.size}")


def _make_folders(names: Iterable[str]) -> None:
    for name in names:
        with faults.of_files(name):
            os.makedirs(name or ".", exist_ok=True)


def _check_below(rel_name: str, folder: URI) -> None:
    parts = rel_name.removesuffix("/").split("/")
    if any(part in ("", ".", "..") for part in parts) or "\0" in rel_name:
        raise NotSafe(f"{folder.shown} has a name that would lead out of it: {rel_name[:200]!r}")
