"""A server on RabbitMQ and PostgreSQL, each on a machine of its own, and the network between them: what may be cut.

    broker      RabbitMQ            one     a whole server, with the page and the gateway
    database    PostgreSQL          two     a second engine, which stands by
                                    field   a worker

`test_partitions.py` cuts it a few times, `make campaign` ten times each.
"""

from __future__ import annotations

import random
import shlex
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

from scitq.lib import Server
from tests.services.namespaces import Network, network
from tests.services.postgres import PrivatePostgres
from tests.services.rabbitmq import PrivateRabbit
from tests.services.scitq import Machine, Process, end_all_in
from tests.services.waiting import eventually

PORT: Final = 5000
AMQP: Final = 5672
MACHINES: Final = ("broker", "database", "one", "two", "field")
HEALED_S: Final = 120.0
"""An agent that was cut off tries again every 5 s; a broker forgets a consumer that is gone after 20 s: times four."""


class Cut(NamedTuple):
    """`way`: both ways, from the first to the second only, back only, or flapping: both ways, a second on and off."""

    one: str
    other: str
    seconds: float
    way: str = "both"

    def __str__(self) -> str:
        return f"{self.one}–{self.other}, {self.way}, {self.seconds:.0f} s"


WAYS: Final = ("both", "both", "there", "back", "flapping")


def cuts(one: str, other: str, count: int, seed: int) -> Iterator[Cut]:
    """Any way, from a second to a minute and a half: shorter and longer than what notices them."""
    chance = random.Random(f"{seed} {one} {other}")
    for _ in range(count):
        yield Cut(
            one, other, round(chance.choice([1, 5, 15, 30, 60, 90]) * chance.uniform(0.7, 1.0), 1), chance.choice(WAYS)
        )


class Site:
    """All of it, running. Use it on machine `one`: see `site`."""

    def __init__(self, folder: Path, net: Network, postgres: PrivatePostgres, rabbit: PrivateRabbit) -> None:
        self.net = net
        self.effects = folder / "effects"
        self.effects.mkdir()
        database = net.inside("database", postgres.create_database)
        there = {
            "SCITQ_STORE": database.replace("127.0.0.1", net.address("database")),
            "SCITQ_BUS": f"amqp://guest:guest@{net.address('broker')}:{AMQP}/%2F",
        }
        one = Machine(folder / "one", net.namespace("one"), SCITQ_HOST="0.0.0.0", SCITQ_SERVER=self._address, **there)
        two = Machine(folder / "two", net.namespace("two"), **there)
        field = Machine(folder / "field", net.namespace("field"))
        self.machines = {"one": one, "two": two, "field": field}
        self.processes: dict[str, Process] = {"one": one.start("server")}
        eventually(lambda: "is ready" in self.processes["one"].said(), "the server is ready")
        one.environ["SCITQ_TOKEN"] = two.environ["SCITQ_TOKEN"] = (one.data / "token").read_text().strip()
        self.processes["two"] = two.start("server", "--role", "engine")
        *_, line = one.run("worker", "invite").strip().splitlines()
        words = [word if word != "CONCURRENCY" else "4" for word in shlex.split(line)[1:]]
        self.processes["field"] = field.start(*words)
        self.token = one.environ["SCITQ_TOKEN"]
        self.client: Server[dict[str, Any]] = Server(f"http://x:{self.token}@{self._address}")
        self.tasks: list[int] = []

    @property
    def _address(self) -> str:
        return f"{self.net.address('one')}:{PORT}"

    def submit(self, count: int, seconds: float = 0.3) -> list[int]:
        """Tasks with an effect each. As the library does it: patiently."""
        first = len(self.tasks)
        commands = [f"sleep {seconds}; echo done >> {self.effects}/{first + number}" for number in range(count)]
        found = self.client.tasks_create({"command": command, "shell": True} for command in commands)
        self.tasks += found
        return list(found)

    def play(self, cut: Cut) -> float:
        """Cut while there is work, mend it, and wait until all is as it was; how long that took after the mending."""
        tasks = self.submit(int(4 * cut.seconds) + 20)
        eventually(lambda: self.done(tasks[:2]), "the work goes on")
        self._break(cut)
        self.net.mend(cut.one, cut.other)
        mended, before = time.monotonic(), self.count()
        eventually(self.client.ready, f"{cut}: the server is ready again", HEALED_S)
        fresh = self.submit(1, 0.0)
        eventually(lambda: self.count() > before, f"{cut}: tasks end again", HEALED_S)
        healed_s = time.monotonic() - mended
        statuses = self.client.wait(tasks + fresh, timeout=HEALED_S + cut.seconds)
        assert set(statuses.values()) == {"succeeded"}, f"{cut}: {statuses}"
        return healed_s

    def done(self, tasks: list[int]) -> bool:
        return all((self.effects / str(self.tasks.index(id))).exists() for id in tasks)

    def count(self) -> int:
        """Of effects."""
        return len(list(self.effects.iterdir()))

    def _break(self, cut: Cut) -> None:
        end = time.monotonic() + cut.seconds
        while (left_s := end - time.monotonic()) > 0:
            if cut.way in ("both", "flapping", "there"):
                self.net.lose(cut.one, cut.other)
            if cut.way in ("both", "flapping", "back"):
                self.net.lose(cut.other, cut.one)
            time.sleep(min(left_s, 1.0) if cut.way == "flapping" else left_s)  # what happens meanwhile is the question
            if cut.way == "flapping":
                self.net.mend(cut.one, cut.other)
                time.sleep(1.0)

    def prove(self) -> None:
        """Every effect once, the log whole, the views what it says, and nobody has stumbled."""
        assert all((self.effects / str(number)).read_text() == "done\n" for number in range(len(self.tasks)))
        assert self.count() == len(self.tasks)
        for process in self.processes.values():
            assert process.running(), process.said()[-2000:]
        self.machines["one"].run("manage", "projection", "check")
        self.machines["one"].run("manage", "event", "verify")
        for name, process in self.processes.items():
            assert "Traceback" not in process.said(), f"{name}: {process.said()}"

    def close(self) -> None:
        self.client.close()
        for process in self.processes.values():
            if process.running():
                process.end()
        for machine in self.machines.values():
            end_all_in(machine.folder)


def play(folder: Path, plan: Iterable[Cut]) -> list[tuple[Cut, float]]:
    """All of it made, cut and mended as planned, and proved to be whole; how long each took to heal, in seconds."""
    with network(*MACHINES) as net, _services(net) as (postgres, rabbit):

        def on_one() -> list[tuple[Cut, float]]:
            site = Site(folder, net, postgres, rabbit)
            try:
                healed = [(cut, site.play(cut)) for cut in plan]
                site.prove()
                return healed
            finally:
                site.close()

        return net.inside("one", on_one)


@contextmanager
def _services(net: Network) -> Iterator[tuple[PrivatePostgres, PrivateRabbit]]:
    """RabbitMQ and PostgreSQL on their machines."""
    doors = Path(tempfile.mkdtemp(prefix="scitq-doors-"))
    try:
        doors.chmod(0o755)
        (doors / "hba.conf").write_text("host all all all trust\n")
        at = {"listen_addresses": "*", "hba_file": str(doors / "hba.conf")}
        listens = {"listeners.tcp.2": f"{net.address('broker')}:{AMQP}", "loopback_users.guest": "false"}
        with ExitStack() as stack:
            postgres = net.inside("database", lambda: PrivatePostgres(at))
            stack.callback(net.inside, "database", postgres.close)
            rabbit = net.inside("broker", lambda: PrivateRabbit(listens))
            stack.callback(net.inside, "broker", rabbit.close)
            yield postgres, rabbit
    finally:
        shutil.rmtree(doors)
