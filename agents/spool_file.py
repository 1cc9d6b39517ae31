"""The spool on disk: one folder per agent, whose id is the incarnation.

    <folder>/incarnation     the id: made once, random, gone only with the folder
             spool           the journal of entries
             lock            held by the agent that works here

Entries wait until `flush`, which is one write for all of a turn and due before anything is *done* about them: then they
are in the hands of the kernel, and a killed agent forgets nothing. What a power cut may take is settled by `sync`, and
that is due before reports are *sent*: a number that the engine has applied and the spool has forgotten would be given
to another report, and that one dropped as a copy. Nothing else needs it: of what is forgotten beyond that, the engine
has heard nothing and says its part again.
"""

from __future__ import annotations

import fcntl
import logging
import os
import re
import secrets
from pathlib import Path
from threading import Lock
from typing import Any, Final, get_args

import orjson

from scitq.agents.spool import Confirmed, Dropped, Entry, Given, Reported, Spool
from scitq.domain.execution import Report
from scitq.errors import AgentError, Damaged, FolderInUse
from scitq.journal import Journal, sync_folder

log = logging.getLogger(__name__)

INCARNATION: Final = "incarnation"
COMPACT_BYTES: Final = 4 * 1024 * 1024
"""How far the journal grows beyond what is needed of it before it is written anew."""

_NAMES: Final[dict[type[Any], bytes]] = {
    Given: b"given",
    Reported: b"reported",
    Confirmed: b"confirmed",
    Dropped: b"dropped",
    **{cls: cls.__name__.lower().encode() for cls in get_args(Report)},
}
_TYPES: Final = {name.decode(): cls for cls, name in _NAMES.items()}


class SpoolWriter:
    """Writes entries: it is the `write` of a `Spool`."""

    def __init__(self, folder: Path, *, compact_bytes: int = COMPACT_BYTES) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock = _lock(folder)
        try:
            self.incarnation = _incarnation(folder)
            self._journal = Journal(str(folder / "spool"))
        except BaseException:
            os.close(self._lock)
            raise
        self._waiting: list[Entry] = []
        self._compact_bytes = compact_bytes
        self._limit = compact_bytes
        self._unsynced = False
        self._syncing = Lock()  # `sync` runs in a thread, and the file must not be replaced under it

    def read(self) -> list[Entry]:
        """What an earlier run of the agent wrote; to be taken once, before the first new entry."""
        lines, self._journal.left = self._journal.left, []
        return [_decode(line, self._journal.path, number) for number, line in enumerate(lines, 1)]

    def __call__(self, entry: Entry) -> None:
        """It is written with the next `flush`."""
        self._waiting.append(entry)

    @property
    def is_written(self) -> bool:
        """Whether nothing waits: what the spool says may be acted on."""
        return not self._waiting

    def flush(self, spool: Spool) -> None:
        """Write what waits, at once; when it raises, nothing was written and all of it waits on.

        The spool is asked for the fewest entries that make it when the file has grown, or is broken.
        """
        if self._journal.broken:
            self._replace(spool)
        elif self._waiting:
            self._journal.append(*map(_encode, self._waiting))
            self._waiting.clear()
            self._unsynced = True
            if self._journal.size > self._limit:
                self._compact(spool)

    def _compact(self, spool: Spool) -> None:
        try:
            self._replace(spool)
        except AgentError as error:  # all is written, and the old file goes on as long as it can
            log.warning("the spool cannot be compacted; it is tried again later", extra={"error": str(error)})
            self._limit = self._journal.size + self._compact_bytes

    def _replace(self, spool: Spool) -> None:
        with self._syncing:
            self._journal.replace(map(_encode, spool.fewest()))
            self._unsynced = False
        self._waiting.clear()
        self._limit = self._journal.size + self._compact_bytes

    def sync(self) -> None:
        """All that is written survives a power cut. It waits for the disk: call it in a thread, before reports go."""
        with self._syncing:
            if self._unsynced:
                self._unsynced = False  # first: what is written meanwhile may not be in it
                self._journal.sync()

    def close(self) -> None:
        """Give the folder back."""
        self._journal.close()
        os.close(self._lock)


def open_spool(folder: Path, *, compact_bytes: int = COMPACT_BYTES) -> tuple[str, list[Entry], SpoolWriter]:
    """The incarnation, what earlier runs wrote, and what writes on; refused while another agent has the folder."""
    try:
        writer = SpoolWriter(folder, compact_bytes=compact_bytes)
    except OSError as error:
        raise AgentError(f"the folder {folder} cannot be used: {error.strerror}") from error
    try:
        return writer.incarnation, writer.read(), writer
    except BaseException:
        writer.close()
        raise


def _lock(folder: Path) -> int:
    """The lock ends with the process that holds it, whatever ended that; its file says who it is."""
    fd = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = os.pread(fd, 20, 0).decode("ascii", "replace") or "unknown"
        os.close(fd)
        raise FolderInUse(
            f"another agent (process {holder}) works in {folder}: end it, or give this one a folder of its own"
        ) from error
    os.ftruncate(fd, 0)
    os.pwrite(fd, str(os.getpid()).encode(), 0)
    return fd


def _incarnation(folder: Path) -> str:
    path = folder / INCARNATION
    try:
        found = path.read_text("ascii", "replace")
    except FileNotFoundError:
        if (folder / "spool").exists():
            raise Damaged(
                f"{path} is gone, and what is in the spool belongs to it: give the agent an empty folder"
            ) from None
        return _make_incarnation(folder, path)
    if not re.fullmatch("[0-9a-f]{32}", found):
        raise Damaged(f"{path} does not hold the id of a spool: give the agent an empty folder")
    return found


def _make_incarnation(folder: Path, path: Path) -> str:
    """It appears under its name when it is whole and on the disk, for the engine will know the agent by it."""
    made = secrets.token_hex(16)
    fresh = path.with_suffix(".new")
    with fresh.open("w") as file:
        file.write(made)
        file.flush()
        os.fsync(file.fileno())
    fresh.rename(path)
    sync_folder(str(folder))
    return made


def _encode(entry: Entry | Report) -> bytes:
    """An object that begins with the name of its type, then its fields in their order."""
    if isinstance(entry, Reported):
        return b'{"is":"reported","number":%d,"report":%b}' % (entry.number, _encode(entry.report))
    return b'{"is":"%b",%b' % (_NAMES[type(entry)], orjson.dumps(entry)[1:])


def _decode(line: bytes, path: str, number: int) -> Entry:
    try:
        content = orjson.loads(line)
        if "report" in content:
            content["report"] = _build(content["report"])
        entry: Entry = _build(content)
    except (orjson.JSONDecodeError, LookupError, TypeError, AttributeError) as error:
        raise Damaged(f"line {number} of {path} was written by another release, or not by an agent: {error}") from error
    return entry


def _build(content: dict[str, Any]) -> Any:
    return _TYPES[content.pop("is")](**content)
