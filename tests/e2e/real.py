"""The whole of it, as it runs in earnest: broker, database, two engines, projections, web and agents, each a process.

What is killed is started again as systemd would; `wrong` says what must never be, whatever was killed.
"""

from __future__ import annotations

import random
import re
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import httpx
import sqlalchemy as sa

from scitq.domain.state import State
from scitq.domain.wire import recorded
from scitq.lib import Server
from scitq.store.journal import Journal, open_journal
from scitq.store.schema import lease
from tests.conftest import miss
from tests.services.postgres import PostgresMissing, PrivatePostgres
from tests.services.rabbit_programs import RabbitMissing
from tests.services.rabbitmq import PrivateRabbit
from tests.services.scitq import Embedded
from tests.services.units import Unit
from tests.services.waiting import eventually
from tests.simulation.invariants import INVARIANTS

SLOTS: Final = 4
JUDGES: Final = (
    "the_chain_verifies",
    "epochs_never_go_back",
    "at_most_one_execution_is_current",
    "requirements_come_first",
    "retries_are_spent_on_failures_only",
    "the_engine_never_stumbled",
)
"""Those of the simulation that need nothing but the log."""


def real_system(folder: Path) -> Iterator[Real]:
    """With a broker and a database of its own; ended in the end."""
    try:
        with PrivatePostgres() as postgres, PrivateRabbit() as rabbitmq:
            real = Real(folder, postgres, rabbitmq)
            try:
                yield real
            finally:
                real.close()
    except (PostgresMissing, RabbitMissing) as missing:
        miss(str(missing))


class Real:
    """One system for many kills: it must get over all of them."""

    def __init__(self, folder: Path, postgres: PrivatePostgres, rabbitmq: PrivateRabbit) -> None:
        self.folder, self.postgres, self.rabbitmq = folder, postgres, rabbitmq
        self.store = postgres.create_database()
        self.system = Embedded(folder / "home", SCITQ_STORE=self.store, SCITQ_BUS=rabbitmq.url)
        self._returning: dict[str, threading.Thread] = {}
        port, machine = self.system.port, self.system.machine
        self.engines = [Unit(name, machine, "server", "--role", "engine") for name in ("engine-one", "engine-two")]
        self.projections, self.web = (Unit(role, machine, "server", "--role", role) for role in ("projections", "web"))
        self.patient = Server(f"http://x:{self._token()}@127.0.0.1:{port}", get_timeout=None, put_timeout=None)
        eventually(self.patient.ready, "the system is ready")
        self.agents = [
            Unit(name, machine, "worker", f"127.0.0.1:{port}", str(SLOTS), "--name", name)
            for name in ("agent-one", "agent-two")
        ]
        eventually(lambda: len(self.patient.workers()) == 2, "both agents are there")
        rabbitmq.settle()

    def _token(self) -> str:
        token = self.system.machine.data / "token"
        eventually(lambda: token.exists() and token.read_text(), "the server made its token")
        return token.read_text().strip()

    @property
    def units(self) -> list[Unit]:
        return [*self.engines, self.projections, self.web, *self.agents]

    def close(self) -> None:
        for unit in self.units:
            unit.stop()
        for name in list(self._returning):
            self.until_back(name)
        self.patient.close()
        self.system.close()

    # --- killing -----------------------------------------------------------------------------------------------

    def kill(self, kind: str, chance: random.Random) -> None:
        """One of a kind; it comes back by itself, while others may be killed already."""
        match kind:
            case "broker":
                self._crash("broker", self.rabbitmq.kill, self.rabbitmq.start)
            case "wiped broker":
                self._crash("broker", self.rabbitmq.kill, self.rabbitmq.wipe, self.rabbitmq.settle)
            case "database":
                self._crash("database", self.postgres.kill, self.postgres.start)
            case "stopped database":
                self._crash("database", partial(self.postgres.stop, signal.SIGQUIT), self.postgres.start)
            case "engine":
                (self.leader() or self.engines[0]).kill()
            case "agent":
                chance.choice(self.agents).kill()
            case _:
                {"web": self.web, "projections": self.projections}[kind].kill()

    def cut_power(self) -> None:
        """Everything at once, but the tasks and their shims."""
        for unit in self.units:
            unit.stop()
        for service in ("broker", "database"):
            self.until_back(service)
        self.rabbitmq.kill()
        self.postgres.kill()

    def power_on(self, chance: random.Random) -> None:
        """In any order, which includes both engines at the same moment."""
        steps = [self.rabbitmq.start, self.postgres.start, *(unit.start for unit in self.units)]
        chance.shuffle(steps)
        threads = [threading.Thread(target=step) for step in steps]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _crash(self, name: str, kill: Callable[[], None], *then: Callable[[], None]) -> None:
        self.until_back(name)
        kill()

        def come_back() -> None:
            for step in then:
                step()

        self._returning[name] = threading.Thread(target=come_back, name=name)
        self._returning[name].start()

    def until_back(self, name: str) -> None:
        if name in self._returning:
            self._returning.pop(name).join()

    # --- looking -----------------------------------------------------------------------------------------------

    def journal(self) -> Journal:
        return open_journal(self.store)

    def leader(self) -> Unit | None:
        """Whose name is in the lease; nobody's, where the database cannot be asked or the holder is gone."""
        engine = sa.create_engine(self.store, poolclass=sa.NullPool)
        try:
            with engine.connect() as connection:
                holder = connection.execute(sa.select(lease.c.holder)).scalar()
        except sa.exc.OperationalError:
            return None
        finally:
            engine.dispose()
        found = re.search(r":(\d+)", holder or "")
        return next((unit for unit in self.engines if found is not None and str(unit.pid) == found[1]), None)

    def stands_by(self) -> bool:
        """One engine leads, and the last that the other one said is that it stands by."""
        leader = self.leader()
        return leader is not None and all(_stands_by(one.said()) for one in self.engines if one is not leader)

    def wrong(self) -> Iterator[str]:
        """What the log, the views and the broker say that must not be."""
        journal = self.journal()
        envelopes = list(journal.stream())
        journal.close()
        run: Any = SimpleNamespace(
            log=[recorded(envelope) for envelope in envelopes],
            world=SimpleNamespace(journal=SimpleNamespace(log=envelopes)),
        )
        for judge in JUDGES:
            yield from INVARIANTS[judge](run)
        self.system.machine.run("manage", "event", "verify")
        self.system.machine.run("manage", "projection", "check")
        eventually(lambda: not self.held(), f"nothing is left in a queue, nor parked: {self.held()}")

    def standing(self) -> str:
        """For whoever looks for what is stuck."""
        units = ", ".join(f"{unit.name} {len(unit.lives)}" for unit in self.units)
        queues = self.rabbitmq.ctl("list_queues", "name", "messages_ready", "messages_unacknowledged", "consumers")
        leader = self.leader()
        journal = self.journal()
        tasks = Counter(task.status for task in State().fold(map(recorded, journal.stream())).tasks.values())
        journal.close()
        ready = httpx.get(f"http://127.0.0.1:{self.system.port}/ready", timeout=30).text
        return f"{units}; {leader.name if leader else 'nobody'} leads; {ready}; in the log: {tasks}\n{queues}"

    def held(self) -> dict[str, int]:
        """What the broker has, by queue, where it is anything."""
        rows = (line.split() for line in self.rabbitmq.ctl("list_queues", "name", "messages", "--silent").splitlines())
        return {name: int(count) for name, count in rows if name.startswith("scitq.") and int(count)}


def _stands_by(said: str) -> bool:
    return said.rfind("this one stands by") > max(said.rfind("this engine leads"), said.rfind("begins anew"))
