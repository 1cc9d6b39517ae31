"""ftp:// – reading, and going on where a connection was cut (REST); writing where the server lets us.

What one server calls a folder is listed with MLSD, and where that is unknown (vsftpd) by reading what LIST shows. Of
links, those to files are followed.
"""

from __future__ import annotations

import ftplib
import functools
import os
import posixpath
import re
import secrets
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Final

from scitq.fetch import faults
from scitq.fetch.backend import Backend, Item, Kind
from scitq.fetch.errors import Corrupt, NotFound, Unreachable
from scitq.fetch.ftp_client import Client, as_named, client
from scitq.fetch.part import MARK, Part
from scitq.fetch.uri import URI
from scitq.fetch.watch import STALL_S, Cancellation, FileWatch, cut

_BUFFER: Final = 1 << 18
_KINDS: Final[dict[str, Kind]] = {"-": "file", "d": "dir", "l": "link", "file": "file", "dir": "dir"}
_LINE: Final = re.compile(
    r"(?P<kind>[-dlbcps])[-rwxsStT]{9}\S* +\d+ +\S+ +\S+ +(?P<size>\d{1,19}) +"
    r"(?P<date>[A-Z][a-z]{2} +\d{1,2} +(?:\d{4}|\d{1,2}:\d{2})) (?P<name>.+)"
)
_NO_REST: Final = "no REST"


class Ftp(Backend):
    def stat(self, uri: URI, cancellation: Cancellation, *, md5: bool = False) -> Item:
        with client(uri, cancellation, STALL_S) as (ftp, name):
            return _item(ftp, uri, name)

    def list(
        self, uri: URI, cancellation: Cancellation, *, recursive: bool = True, md5: bool = False
    ) -> Iterator[Item]:
        with client(uri, cancellation, STALL_S) as (ftp, name):
            itself = _item(ftp, uri, name)
            if itself.type != "dir":
                yield itself
                return
            waiting = [""]
            while waiting:
                below = waiting.pop(0)
                for item in _listed(ftp, uri, name, below):
                    cancellation.check()
                    yield item
                    if recursive and item.type == "dir":
                        waiting.append(item.rel_name)

    def get(self, uri: URI, part: Part, watch: FileWatch) -> None:
        with client(uri, watch.cancellation, watch.stall_s) as (ftp, name):
            size, changed = _size(ftp, name), _said(ftp, f"MDTM {name}")
            if size is None and _is_folder(ftp, name):
                raise faults.a_folder(uri.shown)
            now = {"size": str(size), "changed": changed}
            if part.size and ({key: part.memory.get(key) for key in now} != now or _NO_REST in part.memory):
                part.restart()
                watch.again()
            part.memory.update(now)
            part.expect(size=size, modified_ns=_nanoseconds(changed))
            if size is not None:
                watch.has_size(size)
            if size is None or part.size < size:
                _read(ftp, name, uri, part, watch)
            if size is not None and part.size < size:
                raise Unreachable(f"{uri.shown}: the connection was cut at {part.size} of {size} bytes")

    def put(self, source: str, uri: URI, watch: FileWatch) -> None:
        with client(uri, watch.cancellation, watch.stall_s) as (ftp, name):
            folder = posixpath.dirname(name)
            _make_folders(ftp, folder)
            aside = posixpath.join(folder, f".{secrets.token_hex(6)}{MARK}")
            with faults.of_files(source), open(source, "rb", buffering=0) as file:
                watch.has_size(os.fstat(file.fileno()).st_size)
                try:
                    sent = _write(ftp, aside, file.fileno(), watch)
                    if _size(ftp, aside) not in (None, sent):
                        raise Corrupt(f"{uri.shown}: the server has not kept all that was sent")
                    with suppress(ftplib.error_perm):  # there is none, or it is replaced by the renaming
                        ftp.delete(name)
                    ftp.rename(aside, name)
                except BaseException:
                    with suppress(ftplib.Error, EOFError, OSError):  # of no use any more, if it is there at all
                        ftp.delete(aside)
                    raise

    def delete(self, uri: URI, cancellation: Cancellation) -> None:
        with client(uri, cancellation, STALL_S) as (ftp, name):
            try:
                ftp.voidcmd(f"RMD {name.rstrip('/')}" if uri.is_folder else f"DELE {name}")
            except ftplib.error_perm:
                if _size(ftp, name) is not None or _is_folder(ftp, name):
                    raise


def _read(ftp: Client, name: str, uri: URI, part: Part, watch: FileWatch) -> None:
    try:
        line = ftp.transfercmd(f"RETR {name}", part.size or None)
    except ftplib.error_perm as error:
        if part.size and str(error)[:2] == "50":
            part.memory[_NO_REST] = "unknown"
            raise Unreachable(f"{uri.shown}: the server cannot go on in the middle of a file") from error
        raise
    buffer = memoryview(bytearray(_BUFFER))
    with line, watch.cancellation.cutting(functools.partial(cut, line)):
        while count := line.recv_into(buffer):
            part.write(buffer[:count])
            watch.moved(count)
    ftp.voidresp()


def _write(ftp: Client, name: str, source: int, watch: FileWatch) -> int:
    sent = 0
    with ftp.transfercmd(f"STOR {name}") as line, watch.cancellation.cutting(functools.partial(cut, line)):
        while piece := os.read(source, _BUFFER):
            line.sendall(piece)
            sent += len(piece)
            watch.moved(len(piece))
    ftp.voidresp()
    return sent


def _item(ftp: Client, uri: URI, name: str) -> Item:
    size = _size(ftp, name)
    if size is None or uri.is_folder:
        if not _is_folder(ftp, name):
            raise NotFound(f"{uri.shown}: the server knows nothing of that name")
        return Item(uri.as_folder, uri.name + "/", "dir")
    return Item(uri, uri.name, "file", size, None, _time(_said(ftp, f"MDTM {name}")))


def _listed(ftp: Client, uri: URI, top: str, below: str) -> Iterator[Item]:
    """One folder. We go into it first: a server may read the name that is given to LIST as a pattern."""
    folder = posixpath.join(top, below.encode("utf-8", "surrogateescape").decode("latin-1"))
    ftp.cwd(folder)
    for sent, kind, size, changed in _entries(ftp):
        rel_name = below + as_named(sent)
        if kind == "link" and (size := _size(ftp, posixpath.join(folder, sent))) is not None:
            kind = "file"
        if kind == "dir":
            yield Item(uri.child(rel_name).as_folder, rel_name + "/", "dir", modification_date=changed)
        else:
            yield Item(uri.child(rel_name), rel_name, kind, size if kind == "file" else None, None, changed)


def _entries(ftp: Client) -> list[tuple[str, Kind, int | None, datetime | None]]:
    if ftp.lists_facts:
        try:
            return [entry for line in _lines(ftp, "MLSD") if (entry := _from_facts(line)) is not None]
        except ftplib.error_perm as error:
            if str(error)[:2] != "50":
                raise
            ftp.lists_facts = False
    return [entry for line in _lines(ftp, "LIST") if (entry := from_line(line, datetime.now(UTC))) is not None]


def _lines(ftp: Client, command: str) -> list[str]:
    """Lines are sent as text; what is sent next must not be."""
    lines: list[str] = []
    try:
        ftp.retrlines(command, lines.append)
    finally:
        ftp.voidcmd("TYPE I")
    return lines


def _from_facts(line: str) -> tuple[str, Kind, int | None, datetime | None] | None:
    written, _, name = line.partition(" ")
    facts = dict(fact.lower().partition("=")[::2] for fact in written.rstrip(";").split(";"))
    if facts.get("type") in ("cdir", "pdir") or name in ("", ".", ".."):
        return None
    kind = "link" if "slink" in facts.get("type", "") else _KINDS.get(facts.get("type", ""), "unknown")
    size = facts.get("size", "")
    return name, kind, int(size[:19]) if size.isdecimal() else None, _time(facts.get("modify", ""))


def from_line(line: str, now: datetime) -> tuple[str, Kind, int | None, datetime | None] | None:
    """As `ls -l` shows it. What is not of that form (`total 12`) is no file."""
    found = _LINE.fullmatch(line)
    if found is None or found["name"] in (".", ".."):
        return None
    kind = _KINDS.get(found["kind"], "unknown")
    name = found["name"].partition(" -> ")[0] if kind == "link" else found["name"]
    return name, kind, int(found["size"]), _listed_time(found["date"], now)


def _listed_time(text: str, now: datetime) -> datetime | None:
    """`Nov 20 2024`, or `Nov 20 14:05` for what is less than half a year old."""
    try:
        if ":" not in text:
            return datetime.strptime(text, "%b %d %Y").replace(tzinfo=UTC)
        this_year = datetime.strptime(f"{now.year} {text}", "%Y %b %d %H:%M").replace(tzinfo=UTC)
    except ValueError:
        return None
    if this_year <= now + timedelta(days=1):
        return this_year
    with suppress(ValueError):  # the twenty-ninth of February
        return this_year.replace(year=now.year - 1)
    return None


def _make_folders(ftp: Client, folder: str) -> None:
    if folder in ("", "/") or _is_folder(ftp, folder):
        return
    _make_folders(ftp, posixpath.dirname(folder))
    try:
        ftp.voidcmd(f"MKD {folder}")
    except ftplib.error_perm:
        if not _is_folder(ftp, folder):  # or somebody else has made it
            raise


def _is_folder(ftp: Client, name: str) -> bool:
    try:
        ftp.cwd(name)
    except ftplib.error_perm:
        return False
    return True


def _size(ftp: Client, name: str) -> int | None:
    said = _said(ftp, f"SIZE {name}")
    return int(said) if said.isdecimal() and len(said) < 20 else None


def _said(ftp: Client, command: str) -> str:
    """The answer, or nothing where it is refused: some servers have neither SIZE nor MDTM."""
    try:
        return ftp.sendcmd(command)[3:].strip()
    except ftplib.error_perm:
        return ""


def _time(text: str) -> datetime | None:
    try:
        return datetime.strptime(text[:14], "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    except ValueError:
        return None


def _nanoseconds(text: str) -> int | None:
    time = _time(text)
    return None if time is None else int(time.timestamp()) * 1_000_000_000
