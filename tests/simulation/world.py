"""The world of a simulation: a store, a broker, machines; and what goes wrong with them.

Only the outside is made up here. The engine, the agent's core, the projections and every decision are the shipped code.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from scitq.agents.core import Exit
from scitq.agents.spool import Entry
from scitq.domain import wire
from scitq.domain.envelope import Answer, Append, Envelope, Lease
from scitq.errors import OutcomeUnknown, StoreFull, StoreUnavailable
from scitq.handlers.overlay import Reply
from scitq.handlers.ports import Delivery, Post
from scitq.handlers.turn import Input
from tests.simulation.kernel import SECOND, Kernel, Killed, Mailbox, Process, sleep
from tests.simulation.memory_journal import MemoryJournal
from tests.simulation.stores import SimStores, Unable

EPOCH_START = 1_800_000_000 * SECOND


@dataclass
class Chaos:
    """How much goes wrong. Each seed draws which kinds it has; all end when the world heals."""

    lose: float = 0.0
    duplicate: float = 0.0
    delay: float = 0.0
    die: float = 0.0
    store_fault: float = 0.0
    answer_lost: float = 0.0
    disk_full: float = 0.0
    stall: float = 0.0
    healed: bool = False

    @classmethod
    def drawn(cls, kernel: Kernel) -> Chaos:
        rng = kernel.rng

        def some(most: float) -> float:
            return rng.random() * most if rng.random() < 0.5 else 0.0

        return cls(some(0.3), some(0.3), some(0.3), some(0.02), some(0.1), some(0.15), some(0.1), some(0.03))

    def heal(self) -> None:
        self.lose = self.duplicate = self.delay = self.die = 0.0
        self.store_fault = self.answer_lost = self.disk_full = self.stall = 0.0
        self.healed = True


class World:
    """Everything outside the processes, and the memory of what physically happened."""

    def __init__(self, seed: int) -> None:
        self.kernel = Kernel(seed)
        self.chaos = Chaos.drawn(self.kernel)
        self.journal = MemoryJournal(lambda: EPOCH_START + self.kernel.now)
        self.broker = Broker(self)
        self.hosts: dict[str, Host] = {}
        self.appended_at: list[int] = []  # when each event was written, in virtual time
        self.starts: dict[int, int] = {}  # execution: how often it physically started
        self.started_at: dict[int, int] = {}
        self.codes: dict[int, int] = {}  # execution: how it physically ended
        self.sendings: list[tuple[int, int]] = []  # executions whose outputs began to be stored, and when
        self.stored: dict[int, list[int]] = {}  # execution: when its outputs were physically stored
        self.cut: set[str] = set()  # who is cut off from the broker and the store
        self._decoded: list[wire.Recorded] = []

    def recorded(self, after: int, limit: int) -> Sequence[wire.Recorded]:
        """The log, decoded once for all who read it."""
        log = self.journal.log
        while len(self._decoded) < len(log):
            self._decoded.append(wire.recorded(log[len(self._decoded)]))
        return self._decoded[after : after + limit]

    def carry(self, sender: str, receiver: str, put: Callable[[Any], None], message: Any) -> None:
        """Bring a message from one to the other, as badly as things are."""
        chaos, rng = self.chaos, self.kernel.rng
        if sender in self.cut or receiver in self.cut or (chaos.lose and rng.random() < chaos.lose):
            return
        copies = 2 if chaos.duplicate and rng.random() < chaos.duplicate else 1
        for _ in range(copies):
            delay = 200 + int(rng.random() * 1_000)
            if chaos.delay and rng.random() < chaos.delay:
                delay += int(rng.random() * 8 * SECOND)
            self.kernel.at(delay, put, message)


class SimClock:
    """A process's clocks: the calendar may jump, the other one never does."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel, self.offset = kernel, 0

    def now(self) -> int:
        return EPOCH_START + self._kernel.now + self.offset

    def steady(self) -> int:
        return self._kernel.now

    async def sleep(self, seconds: float) -> None:
        await sleep(int(seconds * SECOND))


class SimJournal:
    """One process's way to the store: the store may be away, full, or its answer lost, before or after it did it."""

    def __init__(self, world: World, who: str) -> None:
        self._world, self._who = world, who

    async def _way(self) -> None:
        world = self._world
        await sleep(100 + int(world.kernel.rng.random() * 400))
        if self._who in world.cut:
            raise StoreUnavailable("cut off")

    async def acquire(self, holder: str, ttl_s: float) -> Lease | None:
        await self._way()
        lease = self._world.journal.acquire(holder, ttl_s)
        if lease is not None:
            self._world.kernel.say(self._who, f"takes the lease: epoch {lease.epoch}")
            await self._way()
        return lease

    async def renew(self, epoch: int) -> None:
        await self._way()
        self._world.journal.renew(epoch)

    async def append(self, append: Append) -> None:
        world, chaos, rng = self._world, self._world.chaos, self._world.kernel.rng
        await self._way()
        if chaos.stall and rng.random() < chaos.stall:
            world.kernel.say(self._who, "stalls in its transaction")
            await sleep(int(rng.random() * 20 * SECOND))
        if chaos.die and rng.random() < chaos.die:
            raise Killed
        if chaos.store_fault and rng.random() < chaos.store_fault:
            raise StoreFull("no space left") if rng.random() < 0.3 else StoreUnavailable("refused")
        self.commit(append)
        if chaos.die and rng.random() < chaos.die:
            raise Killed
        await self._way()
        if chaos.answer_lost and rng.random() < chaos.answer_lost:
            world.kernel.say(self._who, "the store's answer is lost")
            raise OutcomeUnknown("the answer was lost")

    def commit(self, append: Append) -> None:
        world = self._world
        before = len(world.journal.log)
        world.journal.append(append)
        world.recorded(before, 1)  # decoded now: later it may be erased
        for envelope in world.journal.log[before:]:
            world.appended_at.append(world.kernel.now)
            if world.kernel.trace is not None:
                content = (envelope.payload or b"").decode()
                said = (envelope.position, envelope.stream, envelope.type, content)
                world.kernel.say(self._who, "event {} {} {} {}", *said)

    async def read(self, after: int, limit: int) -> list[Envelope]:
        await self._way()
        return self._world.journal.read(after, limit)

    async def read_streams(self, streams: Sequence[str], types: Sequence[str] | None = None) -> list[Envelope]:
        await self._way()
        return self._world.journal.read_streams(streams, types)

    async def answers(self, ids: Sequence[str]) -> dict[str, Answer]:
        await self._way()
        return self._world.journal.answers(ids)

    async def save_snapshot(self, position: int, fingerprint: str, data: bytes) -> None:
        await self._way()
        self._world.journal.save_snapshot(position, fingerprint, data)

    async def load_snapshot(self, fingerprint: str) -> tuple[int, bytes] | None:
        await self._way()
        return self._world.journal.load_snapshot(fingerprint)


class Broker:
    """The inbound queue and the ways out. Acknowledged means gone; what a dead consumer had comes back."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.queue: deque[tuple[int, Input]] = deque()
        self.consumers: list[SimBus] = []
        self.agents: dict[str, Mailbox] = {}  # by incarnation: each agent has a queue of its own
        self.clients: dict[str, Mailbox] = {}
        self.followers: list[Mailbox] = []
        self._token = 0

    def send(self, sender: str, message: Input) -> None:
        self.world.carry(sender, "broker", self._arrive, message)

    def _arrive(self, message: Input) -> None:
        self._token += 1
        self.queue.append((self._token, message))
        for consumer in self.consumers:
            consumer.bell.rouse()

    def disconnect(self, bus: SimBus) -> None:
        if bus in self.consumers:
            self.consumers.remove(bus)
            self.queue.extendleft(reversed(list(bus.unacknowledged.items())))
            bus.unacknowledged = {}
            for consumer in self.consumers:
                consumer.bell.rouse()

    def wipe(self) -> None:
        """Somebody starts the broker on an empty disk."""
        self.world.kernel.say("broker", "is wiped clean")
        self.queue.clear()
        for consumer in self.consumers:
            consumer.unacknowledged = {}


class SimBus:
    """An engine's connection to the broker."""

    def __init__(self, world: World, who: str) -> None:
        self._world, self._who = world, who
        self.bell = Mailbox(world.kernel)
        self.unacknowledged: dict[int, Input] = {}

    async def subscribe(self, epoch: int) -> None:
        self._world.broker.consumers.append(self)

    async def take(self, most: int, wait_s: float) -> list[Delivery]:
        broker = self._world.broker
        if self not in broker.consumers:
            await sleep(SECOND // 2)  # it was disconnected: the connection is made again
            broker.consumers.append(self)
        if not broker.queue or self._who in self._world.cut:
            await self.bell.something(int(wait_s * SECOND))
        else:
            await sleep(0)
        taken: list[Delivery] = []
        if self._who in self._world.cut or self not in broker.consumers:
            return taken  # it cannot be reached
        while broker.queue and len(taken) < most:
            token, message = broker.queue.popleft()
            self.unacknowledged[token] = message
            taken.append(Delivery(message, token))
        return taken

    async def done(self, deliveries: Sequence[Delivery]) -> None:
        await sleep(100)
        for delivery in deliveries:
            self.unacknowledged.pop(delivery.token, None)

    async def publish(self, events: Sequence[Envelope]) -> None:
        world = self._world
        await sleep(50)
        first, last = events[0].position, events[-1].position
        for follower in world.broker.followers:
            world.carry(self._who, "projections", follower.put, (first, last))

    async def tell(self, posts: Sequence[Post]) -> None:
        world = self._world
        await sleep(50)
        for post in posts:
            mailbox = world.broker.agents.get(post.incarnation)
            if mailbox is not None:
                world.carry(self._who, f"agent {post.incarnation}", mailbox.put, post)

    async def reply(self, replies: Sequence[Reply]) -> None:
        world = self._world
        await sleep(50)
        for reply in replies:
            client = world.broker.clients.get(reply.request.partition("-")[0])
            if client is not None:
                world.carry(self._who, "client", client.put, reply)


@dataclass
class Host:
    """A machine: its disk, and the shim with the commands it runs. Both outlive the agent."""

    world: World
    name: str
    incarnation: str
    entries: list[Entry] = field(default_factory=list)
    disk_is_full: bool = False
    boots: int = 0
    process: Process | None = None
    mailbox: Mailbox | None = None
    paused: dict[int, int | None] = field(default_factory=dict)  # held still; the code, if it would have ended
    _marked: set[int] = field(default_factory=set)
    _running: dict[int, int] = field(default_factory=dict)
    _exits: dict[int, int] = field(default_factory=dict)
    stores: SimStores = field(init=False)

    def __post_init__(self) -> None:
        self.stores = SimStores(self)

    def write(self, entry: Entry) -> None:
        """The spool's disk: full, or the machine dies just before or just after."""
        chaos, rng = self.world.chaos, self.world.kernel.rng
        if chaos.disk_full and rng.random() < chaos.disk_full:
            raise OSError("no space left on device")
        if chaos.die and rng.random() < chaos.die:
            raise Killed
        self.entries.append(entry)
        if chaos.die and rng.random() < chaos.die:
            raise Killed

    # The shim's port

    def start(self, execution: int, task: int) -> None:
        if execution in self._marked:
            return
        world = self.world
        if execution % 23 == 7:
            world.kernel.say(self.name, "execution {} of task {} cannot be run here", execution, task)
            if self.mailbox is not None:
                self.mailbox.put(Unable(execution))
            return
        self._marked.add(execution)
        world.starts[execution] = world.starts.get(execution, 0) + 1
        world.started_at.setdefault(execution, world.kernel.now)
        world.kernel.say(self.name, "execution {} of task {} starts", execution, task)
        rng = world.kernel.rng
        lasts = int(rng.expovariate(1 / (2 * SECOND))) if rng.random() < 0.97 else 25 * SECOND
        code = 0 if rng.random() < 0.8 else 1
        self._running[execution] = self.boots
        world.kernel.at(lasts, self._exit, execution, code, self.boots)

    def _exit(self, execution: int, code: int, boot: int) -> None:
        if self._running.get(execution) != boot:
            return
        if execution in self.paused:
            self.paused[execution] = code
            return
        del self._running[execution]
        self._exits[execution] = code
        self.world.codes[execution] = code
        self.world.kernel.say(self.name, "execution {} exits with {}", execution, code)
        if self.mailbox is not None:
            self.mailbox.put(Exit(execution, code))

    def kill(self, execution: int) -> None:
        self.paused.pop(execution, None)
        if self._running.pop(execution, None) is not None:
            self._exits[execution] = -9
            if self.mailbox is not None:
                self.mailbox.put(Exit(execution, -9))

    def signal(self, execution: int, signal: int | str) -> None:
        if execution not in self._running:
            return
        if signal == "pause":
            self.paused.setdefault(execution, None)
        elif signal == "resume" and execution in self.paused:
            code = self.paused.pop(execution)
            if code is not None:
                self._exit(execution, code, self._running[execution])
        elif signal in (9, 15):
            self.paused.pop(execution, None)
            self._exit(execution, -int(signal), self._running[execution])

    def running(self) -> Iterable[int]:
        return self._running

    def ends(self) -> Iterable[Exit]:
        return [Exit(execution, code) for execution, code in self._exits.items()]

    def started(self, execution: int) -> bool:
        return execution in self._marked

    def pid(self, execution: int) -> int | None:
        return 1_000 + execution if execution in self._running else None

    # What befalls it

    def reboot(self) -> None:
        self.world.kernel.say(self.name, "reboots")
        self._running.clear()
        self.paused.clear()
        self.boots += 1
        if self.process is not None:
            self.process.kill()

    def wipe(self, incarnation: str) -> None:
        """The machine is set up anew under its old name."""
        self.reboot()
        self.world.kernel.say(self.name, f"is wiped: now {incarnation}")
        self.incarnation = incarnation
        self.entries.clear()
        self._marked.clear()
        self._exits.clear()
