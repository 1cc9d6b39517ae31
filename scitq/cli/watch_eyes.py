"""What `scitq-manage watch` sees: asked anew when the log says that something has happened, at most once a second."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from queue import Empty, SimpleQueue
from threading import Event, Thread
from typing import Any, Final

from scitq.errors import ScitqError, ServerError, Unreachable
from scitq.lib.progress import Pace

IDLE_S: Final = 3.0
"""Then the server is asked how it is though nothing has happened."""
MOST_TASKS: Final = 500
MOST_FAILURES: Final = 30
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Wish:
    """Something to be done: `stop` or `go` a batch."""

    verb: str
    batch: str


@dataclass(frozen=True, slots=True)
class Picture:
    """Everything that is drawn. `away`: why nothing newer came; `paces`: of each batch, and "" of all together."""

    batches: tuple[Row, ...] = ()
    workers: tuple[Row, ...] = ()
    failures: tuple[Row, ...] = ()
    tasks: tuple[Row, ...] | None = None
    batch: str | None = None
    message: str = ""
    lag: int = 0
    alerts: tuple[str, ...] = ()
    away: str | None = None
    said: str = ""
    seen: bool = False
    paces: dict[str, Pace] = field(default_factory=dict)


class Eyes:
    """Looks from a thread of its own; `picture()` is what was seen last."""

    def __init__(self, server: Any, pause_s: float, stir: Callable[[], None]) -> None:
        self._server, self._pause_s, self._stir = server, pause_s, stir
        self._picture = Picture()
        self._moved = Event()
        self._batch: str | None = None
        self._wishes: SimpleQueue[Wish] = SimpleQueue()
        self._position: int | None = None

    def start(self) -> None:
        Thread(target=self._look_on, name="scitq-eyes", daemon=True).start()
        Thread(target=self._listen, name="scitq-ears", daemon=True).start()

    def picture(self) -> Picture:
        return self._picture

    def look_at(self, batch: str | None) -> None:
        """Also show the tasks of a batch, or no longer."""
        if batch != self._batch:
            self._batch = batch
            self._moved.set()

    def do(self, wish: Wish) -> None:
        self._wishes.put(wish)
        self._moved.set()

    def _look_on(self) -> None:
        while True:
            self._moved.clear()
            said = self._done()
            try:
                self._picture = self.look()
            except (Unreachable, ServerError) as error:
                self._picture = replace(self._picture, away=str(error))
            if said is not None:
                self._picture = replace(self._picture, said=said)
            self._stir()
            time.sleep(self._pause_s)
            self._moved.wait(self._pause_s if self._picture.away else IDLE_S)

    def _done(self) -> str | None:
        """What came of the wishes."""
        said = None
        try:
            while True:
                wish = self._wishes.get_nowait()
                try:
                    {"stop": self._server.batch_stop, "go": self._server.batch_go}[wish.verb](wish.batch)
                    said = f"{wish.batch} {'starts nothing more' if wish.verb == 'stop' else 'goes on'}"
                except ScitqError as error:
                    said = str(error)
        except Empty:
            return said

    def look(self) -> Picture:
        """Ask the server for all that is drawn."""
        status, batch = self._server.status(), self._batch
        batches = tuple(self._server.batches())
        picture = Picture(
            batches=batches,
            workers=tuple(self._server.workers()),
            failures=tuple(self._server.executions(status="failed", limit=MOST_FAILURES, reverse=True, no_output=True)),
            tasks=None if batch is None else tuple(self._server.tasks(batch=batch, limit=MOST_TASKS, reverse=True)),
            batch=batch,
            message=status["message"],
            lag=max((one["lag"] for one in status["projections"]), default=0),
            alerts=tuple(status["alerts"]),
            seen=True,
            paces=self._picture.paces,
        )
        now = time.monotonic()
        ended = {row["batch"]: done(row) for row in batches}
        for name, count in {**ended, "": sum(ended.values())}.items():
            picture.paces.setdefault(name, Pace(now, count)).see(now, count)
        self._position = self._server.position
        return picture

    def _listen(self) -> None:
        """The log tells when to look; where it is out of reach, it is opened again and again."""
        while self._position is None:
            time.sleep(self._pause_s / 10)
        while True:
            try:
                for _ in self._server.events(self._position):
                    self._moved.set()
            except ScitqError:
                time.sleep(self._pause_s)  # the looking itself tells what is wrong


def done(batch: Row) -> int:
    """How many tasks of a batch have ended."""
    return int(batch["succeeded"] or 0) + int(batch["failed"] or 0)
