"""Finding the shim of a folder, or starting one; and the lines that go to and fro."""

from __future__ import annotations

import json
import os
import select
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final, NamedTuple

import orjson

import scitq
from scitq.agents.shim import OTHER_SHIM
from scitq.errors import ShimUnavailable

ANSWER_S: Final = 20.0
_PROGRAM: Final = "import sys; sys.path.insert(0, sys.argv.pop(1)); from scitq.agents.shim import main; main()"

Told = dict[str, Any]


class Begun(NamedTuple):
    """A command that runs: the number of its process, and when it started, in ticks since the machine did."""

    pid: int
    ticks: int


class Link:
    """A connection to a shim that has answered; `running` and `ended` are what it said of itself."""

    def __init__(self, folder: Path, connection: socket.socket) -> None:
        self._connection = connection
        self._poll = select.poll()
        self._inbound = b""
        self._outbound = bytearray(b'{"do": "hello"}\n')
        deadline = time.monotonic() + ANSWER_S
        while True:
            told = self.receive(max(deadline - time.monotonic(), 0.0))
            if told and "hello" in told[0]:
                break
            if time.monotonic() > deadline:
                connection.close()
                raise ShimUnavailable(
                    f"the shim in {folder} does not answer; what it says of itself is in its file log"
                )
        self.pid: int = told[0]["hello"]
        self.running: dict[int, Begun] = {id: Begun(pid, ticks) for id, pid, ticks in told[0]["running"]}
        self.ended: list[Told] = told[0]["ended"]
        self.early = told[1:]

    def fileno(self) -> int:
        return self._connection.fileno()

    @property
    def sending(self) -> bool:
        """Whether something has not gone yet."""
        return bool(self._outbound)

    def send(self, *requests: bytes) -> None:
        """Hand them over, without waiting."""
        self._outbound += b"".join(requests)
        self.flush()

    def flush(self) -> None:
        """Send what can be sent; that the other side is gone shows when it is read from."""
        try:
            while self._outbound:
                del self._outbound[: self._connection.send(self._outbound)]
        except BlockingIOError:
            return
        except (BrokenPipeError, ConnectionResetError):
            self._outbound.clear()

    def receive(self, wait_s: float = 0.0) -> list[Told]:
        """What the shim told, waiting for it as long as allowed; ConnectionResetError when it is gone."""
        told = []
        self._poll.register(self._connection, select.POLLIN | (select.POLLOUT if self._outbound else 0))
        for _, event in self._poll.poll(wait_s * 1000):
            if event & select.POLLOUT:
                self.flush()
            if event & ~select.POLLOUT:
                data = self._connection.recv(1024 * 1024)
                if not data:
                    raise ConnectionResetError("the shim is gone")
                *whole, self._inbound = (self._inbound + data).split(b"\n")
                told = [orjson.loads(line) for line in whole]
        return told

    def close(self) -> None:
        self._connection.close()


def encode(request: Told) -> bytes:
    """As a line. Text that is no Unicode, as the system's names may be, only the slower way can write."""
    try:
        return orjson.dumps(request) + b"\n"
    except TypeError:
        return json.dumps(request).encode() + b"\n"


def find(folder: Path) -> Link | None:
    """A link to the shim that runs there; None when there is none."""
    connection = socket.socket(socket.AF_UNIX)
    try:
        fd = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            connection.connect(f"/proc/self/fd/{fd}/socket")  # an address has room for 107 bytes only
        finally:
            os.close(fd)
        connection.setblocking(False)
        return Link(folder, connection)
    except (FileNotFoundError, ConnectionError):  # ended, or ending just now
        connection.close()
        return None
    except BaseException:
        connection.close()
        raise


def find_or_start(folder: Path, patience_s: float, boot: str | None) -> Link:
    """A link to the shim of the folder, which is started if need be."""
    deadline = time.monotonic() + ANSWER_S
    while (link := find(folder)) is None:
        if time.monotonic() > deadline:
            raise ShimUnavailable(f"the shim in {folder} has its lock and does not listen; see the file log there")
        if _start(folder, patience_s, boot) == OTHER_SHIM:
            time.sleep(0.01)  # it is on its way up or down
    return link


def _start(folder: Path, patience_s: float, boot: str | None) -> int:
    """Returns when it listens. Isolated and without site-packages: it has to be small, and no user's module is its."""
    root = Path(scitq.__file__).parent.parent.absolute()
    command = [sys.executable, "-I", "-S", "-c", _PROGRAM, str(root), str(folder), str(patience_s)]
    with (folder / "log").open("ab") as log:
        try:
            code = subprocess.run(
                command + ([boot] if boot else []),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                env={},
                start_new_session=True,
                timeout=ANSWER_S,
                check=False,
            ).returncode
        except (OSError, subprocess.TimeoutExpired) as error:
            raise ShimUnavailable(f"the shim of {folder} could not be started: {error}") from error
    if code not in (0, OTHER_SHIM):
        words = (folder / "log").read_text(errors="replace").strip().rpartition("\n")[2]
        raise ShimUnavailable(f"the shim of {folder} ended with {code} as it was started: {words}")
    return code
