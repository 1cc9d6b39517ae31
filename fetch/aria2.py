"""`https@aria2://…`, http and ftp likewise – one file over five connections, where a server is slow on each.

The program aria2c is a child of ours, one for each file, in the folder of the file. It is told the address on its
standard input, so that no password is seen in a list of processes, and goes on where it was cut by what it writes
beside the file. What is at the source is asked by ourselves before and after: what aria2 has no words for (a file that
changes, a redirect that leads out of TLS) is noticed as without it. It tries nothing again: that is done above.
"""

from __future__ import annotations

import math
import os
import re
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from typing import Final
from urllib.parse import quote

from scitq.fetch import faults
from scitq.fetch.backend import Backend, Item
from scitq.fetch.errors import (
    Changed,
    Corrupt,
    FetchError,
    FetchErrorNoRepeat,
    NoSpace,
    NotAuthorised,
    NotFound,
    TimedOut,
    Unreachable,
    UnsupportedError,
)
from scitq.fetch.ftp import Ftp
from scitq.fetch.ftp_client import Server
from scitq.fetch.http import Http
from scitq.fetch.part import Part
from scitq.fetch.programs import missing
from scitq.fetch.uri import URI
from scitq.fetch.watch import Cancellation, FileWatch

_CONNECTIONS: Final = 5
_WORTH_BYTES: Final = 8 << 20
"""What is smaller, or of unknown size, would come by one connection anyway: it is fetched without aria2."""
_OPTIONS: Final = (
    "--no-conf", "--no-netrc", "--input-file=-", "--dir=.", "--user-agent=scitq",
    f"--split={_CONNECTIONS}", f"--max-connection-per-server={_CONNECTIONS}", "--min-split-size=4M",
    "--continue=true", "--disk-cache=0", "--always-resume=false", "--auto-save-interval=1", "--file-allocation=none",
    "--allow-overwrite=true", "--auto-file-renaming=false", "--remote-time=false",
    "--follow-torrent=false", "--follow-metalink=false", "--max-tries=1", "--connect-timeout=20",
    "--console-log-level=error", "--download-result=hide", "--summary-interval=0", "--enable-color=false",
    "--human-readable=false", "--truncate-console-readout=false",
)  # fmt: skip
_READ: Final = re.compile(rb"\[#\w+ (\d+)B/")
_LOOK_EVERY_MS: Final = 1_000
_STANDSTILL: Final = 2
"""How often as long as a server may say nothing aria2 may stand still: it gives up by itself before."""
_FAILED: Final[dict[int, tuple[type[FetchError], str]]] = {
    2: (TimedOut, "the server says nothing"),
    3: (NotFound, "the server has nothing of that name"),
    4: (NotFound, "the server has nothing of that name"),
    6: (Unreachable, "the connection was cut"),
    8: (Unreachable, "the server cannot go on in the middle of a file"),
    9: (NoSpace, "no space is left on the disk"),
    17: (NoSpace, "the file cannot be written: the disk is full, or fails"),
    18: (FetchErrorNoRepeat, "the folder cannot be made"),
    19: (Unreachable, "the name of the host cannot be resolved"),
    23: (FetchErrorNoRepeat, "one address leads to the next, and so on for ever"),
    24: (NotAuthorised, "the server wants a name and a password, or others"),
    29: (Unreachable, "the server is busy"),
    32: (Corrupt, "its MD5 is not that which the server says"),
}


class Aria2(Backend):
    def stat(self, uri: URI, cancellation: Cancellation, *, md5: bool = False) -> Item:
        return _plain(uri).stat(uri, cancellation, md5=md5)

    def list(
        self, uri: URI, cancellation: Cancellation, *, recursive: bool = True, md5: bool = False
    ) -> Iterator[Item]:
        return _plain(uri).list(uri, cancellation, recursive=recursive, md5=md5)

    def get(self, uri: URI, part: Part, watch: FileWatch) -> None:
        program = shutil.which("aria2c")
        if program is None:
            raise missing("aria2c")
        found, address, looks = _look(uri, watch.cancellation)
        if found.size is None or found.size < _WORTH_BYTES:
            _plain(uri).get(uri, part, watch)
            return
        if part.size and part.memory.get("looks") != looks:
            part.restart()
            watch.again()
        part.memory["looks"] = looks
        changed = found.modification_date
        modified_ns = None if changed is None else int(changed.timestamp()) * 1_000_000_000
        part.expect(size=found.size, md5=found.md5, modified_ns=modified_ns)
        watch.has_size(found.size)
        self._run(program, address, uri, part, watch)
        if _look(uri, watch.cancellation)[2] != looks:
            part.restart()
            raise Changed(f"{uri.shown} was changed while it was read")

    @staticmethod
    def _run(program: str, address: str, uri: URI, part: Part, watch: FileWatch) -> None:
        folder, name = os.path.split(part.path)
        for written in (".aria2", ".aria2__temp"):  # where it says which pieces are there
            part.keep(part.path + written)
        told = f"{address}\n out={name}\n"
        timeouts = (f"--timeout={math.ceil(watch.stall_s)}", f"--stop-with-process={os.getpid()}")
        authorities = os.environ.get("SSL_CERT_FILE")
        trust = [f"--ca-certificate={authorities}"] if authorities else []
        with (
            faults.of_files(part.target),
            subprocess.Popen(
                [program, *_OPTIONS, *timeouts, *trust], cwd=folder or ".", stdin=subprocess.PIPE,
                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            ) as process,
        ):  # fmt: skip
            try:
                with watch.cancellation.cutting(process.kill):
                    _tell(process, told)
                    _follow(process, uri, part, watch)
                    code = process.wait()
            finally:
                process.kill()
        watch.cancellation.check()
        if code != 0:
            kind, words = _FAILED.get(code, (Unreachable, f"aria2 ended with {code}"))
            raise kind(f"{uri.shown}: {words}")
        part.arrived()
        watch.moved(part.size - watch.done_bytes)

    def put(self, source: str, uri: URI, watch: FileWatch) -> None:
        raise _only_fetches(uri)

    def delete(self, uri: URI, cancellation: Cancellation) -> None:
        raise _only_fetches(uri)


def _follow(process: subprocess.Popen[bytes], uri: URI, part: Part, watch: FileWatch) -> None:
    """Until it ends. `part.size` is how much has arrived, wherever in the file: that tells a try which advances."""
    assert process.stdout is not None
    ready = select.poll()
    ready.register(process.stdout, select.POLLIN | select.POLLHUP)
    moved_at = time.monotonic()
    said = b""
    while True:
        if ready.poll(_LOOK_EVERY_MS):
            piece = os.read(process.stdout.fileno(), 1 << 16)
            if not piece:
                return
            lines = (said + piece).split(b"\n")
            said = lines.pop()[-1_000:]
            for line in lines:
                read = _READ.match(line)
                if read is not None and int(read[1]) > part.size:
                    watch.moved(int(read[1]) - watch.done_bytes)
                    part.size, moved_at = int(read[1]), time.monotonic()
        if time.monotonic() - moved_at > watch.stall_s * _STANDSTILL:
            raise TimedOut(f"{uri.shown}: the server says nothing")


def _tell(process: subprocess.Popen[bytes], told: str) -> None:
    assert process.stdin is not None
    try:
        with process.stdin as line:
            line.write(told.encode())
    except BrokenPipeError:
        return  # it has ended: its exit code says why


def _look(uri: URI, cancellation: Cancellation) -> tuple[Item, str, str]:
    """What is there, the address that it really has, and what would change with it; all without aria2."""
    if uri.protocol == "ftp":
        server, name = Server.of(uri)
        login = "" if server.user == "anonymous" else f"{_encoded(server.user)}:{_encoded(server.password)}@"
        host = f"[{server.host}]" if ":" in server.host else server.host
        address = f"ftp://{login}{host}:{server.port}/{quote(name, safe='/', encoding='latin-1')}"
        found = Ftp().stat(uri, cancellation)
        return found, address, f"{found.size} {found.modification_date}"
    found, address, etag = Http().look(uri, cancellation)
    return found, address, f"{found.size} {found.modification_date} {etag}"


def _encoded(word: str) -> str:
    return quote(os.fsencode(word), safe="")


def _plain(uri: URI) -> Backend:
    return Ftp() if uri.protocol == "ftp" else Http()


def _only_fetches(uri: URI) -> UnsupportedError:
    return UnsupportedError(f"{uri.shown}: @aria2 is for what is fetched, and only there")
