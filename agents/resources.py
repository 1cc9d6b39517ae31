"""Resources: what many tasks share, fetched once, and linked into the folder of each task that asks for it.

    RESOURCES/<key>/files/         what was fetched; the key follows from the URI with its actions
                    source         which URI that is, and what its source looked like
              <key>.<random>/      being fetched, or on its way out: of no use to anybody, and removed at the next start

A task has hard links: a resource that is fetched anew, or evicted, stays as it was for those that have it.
"""

from __future__ import annotations

import errno
import logging
import os
import secrets
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Final, NamedTuple

import orjson

from scitq.fetch import URI, Cancellation, FetchError, Progress, UnsupportedError, get, info, list_content
from scitq.fetch.uri import OF_RUNS

log = logging.getLogger(__name__)

FRESH_S: Final = 10.0
"""Whoever asks again so soon is not told of a change of the source."""
KEY_BYTES: Final = 16


class Moved(NamedTuple):
    """How much came from outside."""

    files: int = 0
    bytes: int = 0


@dataclass(slots=True)
class _Kept:
    """One resource, while anybody asks for it."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    looked_at: float = -FRESH_S
    users: set[int] = field(default_factory=set)


class Resources:
    """Those of one agent. May be used from several threads at once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        self._kept: dict[str, _Kept] = {}
        if folder.exists():
            for one in folder.iterdir():
                if "." in one.name:  # its process was killed
                    shutil.rmtree(one, ignore_errors=True)

    def link(
        self,
        uri: str,
        target: str,
        user: int,
        cancellation: Cancellation,
        tell: Callable[[Progress], object] | None = None,
    ) -> Moved:
        """Put what is behind the URI into a folder; what is there under the same names gives way."""
        key = key_of(uri)
        kept = self._used_by(key, user)
        with _held(kept.lock, cancellation):
            moved = self._see_to(key, uri, kept, cancellation, tell)
            try:
                _link_tree(str(self.folder / key / "files"), target)
            except OSError as error:
                if error.errno != errno.ENOENT:
                    raise
                raise FetchError(f"the resource {URI(uri).shown} was removed from {self.folder}: try again") from error
        return moved

    def let_go(self, user: int) -> None:
        """It no longer uses any of them."""
        with self._lock:
            for kept in self._kept.values():
                kept.users.discard(user)

    def forget(self) -> None:
        """All that nobody uses is fetched anew when it is asked for again."""
        while self.evict_one():
            continue

    def evict_one(self) -> bool:
        """Remove the one that was not used for longest, if there is one that nobody uses."""
        for key in self._oldest_first():
            with self._lock:
                kept = self._kept.get(key)
                if kept is not None and (kept.users or kept.lock.locked()):
                    continue
                aside = self._aside(key)
            shutil.rmtree(aside, ignore_errors=True)
            log.info("a resource made room", extra={"key": key})
            return True
        return False

    # How it is kept -----------------------------------------------------------------------------------------------

    def _used_by(self, key: str, user: int) -> _Kept:
        with self._lock:
            kept = self._kept.setdefault(key, _Kept())
            kept.users.add(user)
            return kept

    def _see_to(
        self, key: str, uri: str, kept: _Kept, cancellation: Cancellation, tell: Callable[[Progress], object] | None
    ) -> Moved:
        """It is here, and as its source is."""
        known = self._source(key)
        if known is not None and time.monotonic() - kept.looked_at < FRESH_S:
            return self._touched(key)
        looks = _look_of(uri, cancellation)
        if known is None or (looks is not None and known != looks):
            return self._fetch(key, uri, looks, kept, cancellation, tell)
        kept.looked_at = time.monotonic()
        return self._touched(key)

    def _fetch(
        self,
        key: str,
        uri: str,
        looks: str | None,
        kept: _Kept,
        cancellation: Cancellation,
        tell: Callable[[Progress], object] | None,
    ) -> Moved:
        fresh = self.folder / f"{key}.{secrets.token_hex(4)}"
        (fresh / "files").mkdir(parents=True)
        try:
            moved = fetch_into(uri, f"{fresh}/files", cancellation, tell)
            _make_read_only(str(fresh / "files"))
            (fresh / "source").write_bytes(orjson.dumps({"uri": URI(uri).shown, "looks": looks}))
            if (self.folder / key).exists():
                shutil.rmtree(self._aside(key), ignore_errors=True)
            fresh.rename(self.folder / key)
        except BaseException:
            shutil.rmtree(fresh, ignore_errors=True)
            raise
        kept.looked_at = time.monotonic()
        return moved

    def _source(self, key: str) -> str | None:
        """What its source looked like; None when it is not here."""
        try:
            looks: str | None = orjson.loads((self.folder / key / "source").read_bytes())["looks"]
        except (OSError, orjson.JSONDecodeError, LookupError, TypeError):
            return None
        return looks or ""

    def _touched(self, key: str) -> Moved:
        os.utime(self.folder / key)
        return Moved()

    def _aside(self, key: str) -> Path:
        aside = self.folder / f"{key}.{secrets.token_hex(4)}"
        (self.folder / key).rename(aside)
        return aside

    def _oldest_first(self) -> list[str]:
        try:
            found = [(one.stat().st_mtime, one.name) for one in os.scandir(self.folder) if "." not in one.name]
        except FileNotFoundError:
            return []
        return [name for _, name in sorted(found)]


def key_of(uri: str) -> str:
    """The name of its folder: the same URI with the same actions is the same resource."""
    return blake2b(str(URI(uri)).encode("utf-8", "surrogateescape"), digest_size=KEY_BYTES).hexdigest()


def fetch_into(
    uri: str, folder: str, cancellation: Cancellation, tell: Callable[[Progress], object] | None = None
) -> Moved:
    """Fetch into a folder that is there; how much it was."""
    last = Progress("", 0, None, 0, None)

    def note(progress: Progress) -> None:
        nonlocal last
        last = progress
        if tell is not None:
            tell(progress)

    get(uri, f"{folder}/", progress=note, cancellation=cancellation)
    return Moved(last.done_files, last.done_bytes)


def _look_of(uri: str, cancellation: Cancellation) -> str | None:
    """By what a change of the source shows: sizes and dates. None where it does not say."""
    where = URI(uri).bare
    if where.protocol in OF_RUNS:  # they stay what they are, and their archive may be away for a day
        return None
    if not where.is_folder:
        try:
            one = info(where, cancellation=cancellation)
        except UnsupportedError:
            return None
        return None if one.size is None and one.modification_date is None else f"{one.size} {one.modification_date}"
    items = sorted(
        (one.rel_name, one.size or 0, str(one.modification_date))
        for one in list_content(where, cancellation=cancellation)
    )
    return blake2b(repr(items).encode("utf-8", "surrogateescape"), digest_size=KEY_BYTES).hexdigest()


@contextmanager
def _held(lock: threading.Lock, cancellation: Cancellation) -> Iterator[None]:
    """While one fetches, the others wait; those that are called off do not."""
    while not lock.acquire(timeout=0.1):
        cancellation.check()
    try:
        yield
    finally:
        lock.release()


def _link_tree(source: str, target: str) -> None:
    for folder, _, names in os.walk(source):
        into = os.path.join(target, os.path.relpath(folder, source))
        os.makedirs(into, exist_ok=True)
        for name in names:
            _link(os.path.join(folder, name), os.path.join(into, name))


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target, follow_symlinks=False)
    except FileExistsError:
        os.unlink(target)
        os.link(source, target, follow_symlinks=False)


def _make_read_only(folder: str) -> None:
    for where, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(where, name)
            if not os.path.islink(path):
                os.chmod(path, os.stat(path).st_mode & 0o555 | 0o444)
