"""The same operations in an event loop: nothing is written twice, so what is tested here is what differs."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import aclosing, asynccontextmanager
from itertools import count
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from scitq.errors import PartlyDone, ServerError, Unreachable
from scitq.lib import AsyncServer, Server
from scitq.lib.looping import LoopingLine
from tests.unit.scitq.scripted import LOST, Asked, Said, Scripted, in_turn, serving
from tests.unit.scitq.test_lib_waiting import World, event


@pytest.fixture(autouse=True)
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("SCITQ_SERVER", raising=False)
    monkeypatch.setattr("scitq.lib.events.FIRST_PAUSE_S", 0.001)
    monkeypatch.setattr("scitq.lib.waiting.DOUBT_S", 0.0)


def in_a_loop(work: Coroutine[Any, Any, None]) -> None:
    """What is left behind in the loop is a mistake: tasks, generators, connections (warnings are errors)."""

    async def run() -> None:
        await work
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(run())


@asynccontextmanager
async def client(there: Scripted) -> AsyncIterator[AsyncServer[dict[str, Any]]]:
    async with AsyncServer(there.url) as server:
        yield server


def test_both_have_the_same_operations_with_the_same_arguments() -> None:
    def public(server: type) -> dict[str, inspect.Signature]:
        found = inspect.getmembers(server, inspect.isfunction)
        return {name: inspect.signature(one) for name, one in found if not name.startswith("_")}

    blocking, awaited = public(Server), public(AsyncServer)
    assert blocking == awaited and len(blocking) > 40
    assert inspect.getdoc(Server.task_create) == inspect.getdoc(AsyncServer.task_create)
    assert not inspect.iscoroutinefunction(Server.tasks) and inspect.iscoroutinefunction(AsyncServer.tasks)
    assert inspect.isgeneratorfunction(Server.events) or not inspect.isasyncgenfunction(Server.events)
    assert inspect.isasyncgenfunction(AsyncServer.events)


def test_what_is_lost_is_sent_again_and_what_is_refused_is_raised() -> None:
    answers = in_turn(LOST, Said({"task_id": 7}, 201), Said({"message": "No, because."}, 409))

    async def work() -> None:
        async with client(there) as server:
            assert (await server.task_create("echo"))["task_id"] == 7
            with pytest.raises(ServerError, match="No, because"):
                await server.task_delete(7)
        keys = [asked.headers["idempotency-key"] for asked in there.asked]
        assert keys[0] == keys[1] != keys[2]

    with serving(answers) as there:
        in_a_loop(work())


def test_many_requests_are_on_their_way_at_once() -> None:
    together = Event()

    def answer(asked: Asked) -> Said:
        if len(there.asked) >= 10:
            together.set()
        return Said([{"task_id": 1}]) if together.wait(20) else Said({"message": "they came one by one"}, 400)

    async def work() -> None:
        async with client(there) as server:
            await asyncio.gather(*(server.tasks() for _ in range(10)))

    with serving(answer) as there:
        in_a_loop(work())


def test_a_list_is_submitted_in_portions_and_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scitq.lib.portions.portions.__defaults__", (5, 10**6))
    world = World([event(number, number, "execution-succeeded") for number in range(1, 23)], {})

    def answer(asked: Asked) -> Said:
        if asked.path != "/tasks/bulk":
            return world(asked)
        first = int(asked.headers["idempotency-key"].rpartition(".")[2]) + 1
        ids = list(range(first, first + len(asked.json["tasks"])))
        world.statuses |= dict.fromkeys(ids, "running")
        return Said({"task_ids": ids, "position": 0}, 201)

    async def work() -> None:
        async with client(there) as server:
            ids = await server.tasks_create({"command": f"echo {number}"} for number in range(22))
            assert ids == list(range(1, 23))
            assert set((await server.wait(ids)).values()) == {"succeeded"}
            assert await server.join(ids) == {"succeeded": 22}

    with serving(answer) as there:
        in_a_loop(work())


def test_when_a_portion_is_refused_it_is_said_what_was_created(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scitq.lib.portions.portions.__defaults__", (2, 10**6))

    def answer(asked: Asked) -> Said:
        first = int(asked.headers["idempotency-key"].rpartition(".")[2])
        if first == 2:
            return Said({"message": "task 3 is nonsense"}, 400)
        return Said({"task_ids": [first + 101, first + 102], "position": 1}, 201)

    async def work() -> None:
        async with client(there) as server:
            with pytest.raises(PartlyDone, match="task 3 is nonsense") as error:
                await server.tasks_create([{"command": "a"}] * 10)
        assert error.value.task_ids.items() >= {0: 101, 1: 102}.items() and 2 not in error.value.task_ids

    with serving(answer) as there:
        in_a_loop(work())


def test_events_come_once_and_in_order_and_may_be_left_half_way() -> None:
    log = [event(position, 1, "task-paused") for position in range(1, 50)]

    async def work() -> None:
        async with client(there) as server:
            assert [one async for one in server.events(9, follow=False)] == log[9:]
            async with aclosing(server.events()) as events:
                numbers = count()
                async for one in events:
                    assert one == log[next(numbers)]
                    if one["position"] == 30:
                        break

    with serving(World(log, {})) as there:
        in_a_loop(work())


def _hanging(release: Event) -> Iterator[bytes]:
    yield b"retry: 1000\n\n:\n\n"
    release.wait(20)


def test_whoever_is_cancelled_ends_at_once_wherever_it_was() -> None:
    release = Event()

    def answer(asked: Asked) -> Said:
        if asked.path.startswith("/events"):
            return Said(headers={"Content-Type": "text/event-stream"}, pieces=_hanging(release))
        if asked.path == "/tasks/status":
            return Said([5])
        release.wait(20)
        return Said([])

    async def work() -> None:
        async with client(there) as server:
            for each in (
                server.tasks(),
                server.wait([1]),
                server.tasks_create([{"command": "a"}]),
                anext(server.events()),
            ):
                before = len(there.asked)
                task = asyncio.ensure_future(each)
                while len(there.asked) == before:
                    await asyncio.sleep(0.001)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
            assert asyncio.all_tasks() == {asyncio.current_task()}
        release.set()

    with serving(answer) as there:
        in_a_loop(work())


def test_a_call_is_over_when_its_time_is() -> None:
    release = Event()

    def answer(asked: Asked) -> Said:
        release.wait(20)
        return Said([])

    async def work() -> None:
        async with client(there) as server:
            with pytest.raises(Unreachable, match="took too long"):
                await server.within(0.1).tasks()
        release.set()

    with serving(answer) as there:
        in_a_loop(work())


def test_one_server_may_be_used_in_one_loop_after_the_other() -> None:
    with serving(in_turn(Said([]))) as there:
        server = AsyncServer(there.url)

        async def work() -> None:
            assert await server.tasks() == []
            await server.close()

        for _ in range(3):
            in_a_loop(work())


def test_what_ended_with_its_loop_can_be_closed_in_another() -> None:
    with serving(lambda asked: Said([])) as there:
        server = AsyncServer(there.url)
        asyncio.run(leave(server))
        asyncio.run(server.close())


async def leave(server: AsyncServer[dict[str, Any]]) -> None:
    """Without closing it; what it holds is let go of, since a forgotten connection is an error here."""
    await server.tasks()
    line = server._connection._line
    assert isinstance(line, LoopingLine) and line._client is not None
    await line._client.aclose()
    line._client = Closed()  # type: ignore[assignment]


class Closed:
    async def aclose(self) -> None:
        raise RuntimeError("Event loop is closed")
