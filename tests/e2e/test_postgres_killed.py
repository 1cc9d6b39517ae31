"""PostgreSQL killed with SIGKILL while events are appended: what was acknowledged is there, once."""

from __future__ import annotations

import os
import threading
import time

from scitq.domain.envelope import Append
from scitq.errors import OutcomeUnknown, StoreUnavailable
from scitq.store.chain import verify
from scitq.store.journal import Journal, open_journal
from scitq.store.upgrade import upgrade
from tests.contract.stores import Engine
from tests.services.postgres import PrivatePostgres
from tests.services.waiting import eventually

KILLS = 20 if os.environ.get("SCITQ_CAMPAIGN") else 5
AMONG = 40  # a kill comes after so many acknowledged appends since the last one


class Load(threading.Thread):
    """An engine that appends until it is told to stop, sending the same bytes again until the store answers."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.url = url
        self.done = threading.Event()
        self.acknowledged: list[Append] = []
        self.unknown = 0
        self.refused = 0
        self.failure: BaseException | None = None

    def run(self) -> None:
        try:
            journal = open_journal(self.url)
            engine = Engine(journal)
            while not self.done.is_set():
                number = len(self.acknowledged)
                turn = engine.turn(*(f"task-{number}-{i}" for i in range(number % 7)), answers=[f"command-{number}"])
                self.send(journal, turn)
                engine.wrote(turn)
                self.acknowledged.append(turn)
            journal.close()
        except BaseException as failure:
            self.failure = failure
            raise

    def go_on_for(self, appends: int) -> None:
        """Wait until so many more are acknowledged."""
        goal = len(self.acknowledged) + appends
        eventually(lambda: len(self.acknowledged) >= goal or self.failure, f"{goal} appends")
        assert self.failure is None

    def send(self, journal: Journal, turn: Append) -> None:
        while True:
            try:
                return journal.append(turn)
            except OutcomeUnknown:
                self.unknown += 1
            except StoreUnavailable:
                self.refused += 1
                time.sleep(0.02)


def test_no_acknowledged_event_is_lost_or_doubled_when_postgresql_is_killed(doomed_postgres: PrivatePostgres) -> None:
    url = doomed_postgres.create_database()
    upgrade(url)
    load = Load(url)
    load.start()
    try:
        for _ in range(KILLS):
            load.go_on_for(AMONG)
            doomed_postgres.kill()
            doomed_postgres.start()
    finally:
        load.done.set()
        load.join(60)
    assert load.failure is None and not load.is_alive()
    assert load.unknown + load.refused >= KILLS

    journal = open_journal(url)
    log = list(journal.stream())
    assert log == [event for turn in load.acknowledged for event in turn.events]
    assert verify(log) == journal.head()
    answers = [answer for turn in load.acknowledged for answer in turn.answers]
    assert journal.answers([answer.id for answer in answers]) == {answer.id: answer for answer in answers}
    journal.close()
