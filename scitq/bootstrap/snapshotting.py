"""Snapshots for whoever starts next: now and then a process of its own folds the log and writes down what it came to.

The engine never does this: dumping a million tasks would hold it up. The process is new each time, has a low
priority, and begins at the last snapshot; so it costs no memory while there is nothing to do, and disturbs nobody. It
is told the address of the store on its standard input, where no list of processes shows it, and ends when that does.
"""

from __future__ import annotations

import asyncio
import logging
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import IO, Final

from scitq.bootstrap.adapters import EngineBus, StoreJournal, SystemClock
from scitq.bootstrap.threads import Host
from scitq.bus.local import LocalBus
from scitq.domain.snapshot import FINGERPRINT
from scitq.domain.state import State
from scitq.errors import ScitqError, StoreError
from scitq.handlers.standby import Standby
from scitq.store.journal import Journal, open_journal

log = logging.getLogger(__name__)

EVERY: Final = 200_000
"""So many events are folded within seconds: an engine that starts need not have less to do."""
LOOK_EVERY_S: Final = 2.0
REST: Final = 3
"""After a snapshot, nothing is done for so many times as long as it took."""
LONGEST_REST_S: Final = 600.0
TICK_S: Final = 0.05
NICENESS: Final = 10
"""On a machine that is busy all day it still gets its turn."""


class SnapshotHost(Host):
    """Looks how far the log has come since the last snapshot, whoever wrote that: a stand-by does too."""

    name = "snapshots"

    def __init__(
        self,
        events: str,
        on_failure: Callable[[str, BaseException], None],
        *,
        every: int = EVERY,
        niceness: int = NICENESS,
    ) -> None:
        super().__init__(on_failure)
        self._events, self._every, self._niceness = events, every, niceness

    def _work(self) -> None:
        journal = open_journal(self._events)
        rest_s = 0.0
        try:
            while not self._stop.wait(max(rest_s, LOOK_EVERY_S)):
                rest_s = 0.0
                if self._is_due(journal):
                    begin = time.monotonic()
                    self._write()
                    rest_s = min(REST * (time.monotonic() - begin), LONGEST_REST_S)
        finally:
            journal.close()

    def _rouse(self) -> None:
        """It looks often enough."""

    def _is_due(self, journal: Journal) -> bool:
        try:
            return journal.head().position >= journal.newest_snapshot(FINGERPRINT) + self._every
        except StoreError:
            return False  # the others wait for the store in words

    def _write(self) -> None:
        with tempfile.TemporaryFile() as said:  # a pipe that nobody empties would hold it up once it is full
            self._watch(said)

    def _watch(self, said: IO[bytes]) -> None:
        process = subprocess.Popen(
            [sys.executable, "-m", "scitq.bootstrap.snapshotting", str(self._niceness)],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=said, bufsize=0,
        )  # fmt: skip
        assert process.stdin is not None
        with process.stdin:
            with suppress(BrokenPipeError):  # it has ended already, and has said why
                process.stdin.write(self._events.encode() + b"\n")
            while process.poll() is None and not self._stop.wait(TICK_S):
                pass
            if process.poll() is None:
                process.kill()
            elif process.returncode:
                said.seek(0)
                lines = said.read().decode(errors="replace").strip().splitlines()
                log.warning("no snapshot was written; the next start takes longer", extra={"error": lines[-1:]})
            process.wait()


def main() -> int:
    os.nice(int(sys.argv[1]))
    url = sys.stdin.readline().strip()
    if not url:
        return 1  # the server ended meanwhile
    threading.Thread(target=_end_with_the_server, daemon=True).start()
    try:
        journal = open_journal(url)
        never = threading.Event()
        store = StoreJournal(journal, EngineBus(LocalBus(), never))  # it is no candidate: it hears and says nothing
        asyncio.run(Standby(store, SystemClock(never), "snapshots", State()).write_snapshot())
        journal.close()
    except ScitqError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _end_with_the_server() -> None:
    while os.read(sys.stdin.fileno(), 4_096):
        pass
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main())
