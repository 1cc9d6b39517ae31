"""The engine, the projections and the recorder in their threads."""

from __future__ import annotations

import asyncio
from contextlib import closing
from pathlib import Path
from threading import Event

import orjson
import pytest

from scitq.bootstrap import adapters
from scitq.bootstrap.projecting import rebuild
from scitq.bootstrap.recording import MOST_EARLY
from scitq.bus.local import LocalBus
from scitq.domain.commands import Request
from scitq.domain.envelope import Append
from scitq.domain.messages import Heartbeat
from scitq.domain.output_wire import Chunk, encode_chunk, parse_confirms
from scitq.errors import Rejected, StoreUnavailable
from scitq.handlers.overlay import Reply
from scitq.projections import database, tasks
from scitq.store.health import look_over
from scitq.store.journal import Journal, open_journal
from scitq.store.output import open_output
from tests.services.waiting import eventually
from tests.unit.bootstrap.hosts import SOON_S, Agent, Hosts, command, hosts


def test_a_command_is_answered_and_the_views_show_it(tmp_path: Path) -> None:
    with hosts(tmp_path) as system:
        reply = system.ask("create-tasks", tasks=[{"command": "echo hello"}])
        assert reply["refusal"] is None
        assert reply["answer"]["tasks"] == [1]
        system.until_views_reach(reply["answer"]["last"])
        views = database.reader(system.urls.views)
        with views.connect() as connection:
            assert tasks.by_id(connection, [1])[1].command == "echo hello"
        views.dispose()


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "not JSON"),
        (b"[]", "dict"),
        (b'{"id": "command-1", "deadline": 1, "command": {"type": "nonsense"}}', "'nonsense' is not a command"),
        (b"\xff" * 100, "not JSON"),
    ],
)
def test_what_cannot_be_understood_is_refused_in_words_and_put_aside(tmp_path: Path, body: bytes, words: str) -> None:
    with hosts(tmp_path) as system:
        system.send(body, request="command-1")
        reply = system.reply()
        assert reply["request"] == "command-1"
        assert words in reply["refusal"]
        assert [one.body for one in system.bus.parked()] == [body]
        assert system.ask("create-tasks", tasks=[{"command": "true"}])["answer"]["tasks"] == [1]


def test_an_agent_that_speaks_for_another_worker_is_not_heard(tmp_path: Path) -> None:
    with hosts(tmp_path) as system:
        one, other = Agent(system, "one"), Agent(system, "other")
        one.say(Heartbeat(other.worker, other.incarnation))
        eventually(lambda: list(system.bus.parked()))
        assert "an agent that has not its place" in next(iter(system.bus.parked())).reason


def test_output_is_stored_and_confirmed_and_that_of_others_is_not(tmp_path: Path) -> None:
    with hosts(tmp_path) as system:
        one, other = Agent(system, "one"), Agent(system, "other", concurrency=0)
        system.ask("create-tasks", tasks=[{"command": "echo hello"}])
        execution = one.assigned().execution
        for agent, data in ((other, b"forged"), (one, b"hello")):
            headers = {"reply_to": agent.box.address, "worker": str(agent.worker)}
            system.bus.send("output", encode_chunk(Chunk(execution, 1, 0, 0, data)), headers)
        found = [message for message in one.box.take(10, SOON_S) if message.headers.get("kind") == "confirm"]
        assert parse_confirms(found[0].body) == [(execution, 1, 5)]
        eventually(lambda: list(system.bus.parked()))
        assert "not this worker's" in next(iter(system.bus.parked())).reason
        output = open_output(system.urls.output)
        assert output.read(execution, 1, 0, 100) == b"hello"
        output.close()


def test_one_worker_cannot_hold_up_the_output_of_others_with_what_nobody_knows(tmp_path: Path) -> None:
    with hosts(tmp_path) as system:
        one = Agent(system, "one")
        system.ask("create-tasks", tasks=[{"command": "echo hello"}])
        execution = one.assigned().execution
        for number in range(500):
            junk = encode_chunk(Chunk(10_000 + number, 1, 0, 0, b"x"))
            system.bus.send("output", junk, {"worker": "77", "reply_to": "nobody"})
        headers = {"worker": str(one.worker), "reply_to": one.box.address}
        system.bus.send("output", encode_chunk(Chunk(execution, 1, 0, 0, b"hello")), headers)
        found = [message for message in one.box.take(10, SOON_S) if message.headers.get("kind") == "confirm"]
        assert parse_confirms(found[0].body) == [(execution, 1, 5)]
        assert 0 < len(system.recorder._early) <= MOST_EARLY


def test_a_chunk_that_is_none_is_put_aside_and_the_recorder_goes_on(tmp_path: Path) -> None:
    with hosts(tmp_path) as system:
        agent = Agent(system, "one")
        headers = {"reply_to": agent.box.address, "worker": str(agent.worker)}
        system.bus.send("output", b"nonsense", headers)
        system.ask("create-tasks", tasks=[{"command": "echo hello"}])
        execution = agent.assigned().execution
        system.bus.send("output", encode_chunk(Chunk(execution, 2, 0, 0, b"x")), headers)
        eventually(lambda: any(one.headers.get("kind") == "confirm" for one in agent.box.take(10, 0.1)))
        assert system.bus.parked().count == 1


def test_a_message_of_events_that_cannot_be_read_costs_a_reading_of_the_log(tmp_path: Path) -> None:
    with hosts(tmp_path) as system:
        system.bus.publish("events", b"nonsense")
        last = system.ask("create-tasks", tasks=[{"command": "true"}])["answer"]["last"]
        system.until_views_reach(last)


def test_a_projection_is_rebuilt_while_the_server_serves(tmp_path: Path) -> None:
    with hosts(tmp_path) as system:
        last = system.ask("create-tasks", tasks=[{"command": "true"}] * 100)["answer"]["last"]
        asyncio.run(rebuild(system.bus, "tasks"))
        system.until_views_reach(last)
        with pytest.raises(Rejected, match="no projection 'nonsense'"):
            asyncio.run(rebuild(system.bus, "nonsense"))
        last = system.ask("create-tasks", tasks=[{"command": "true"}])["answer"]["last"]
        system.until_views_reach(last)


def test_a_second_start_goes_on_where_the_first_one_ended(tmp_path: Path) -> None:
    for number in range(1, 4):
        with hosts(tmp_path) as system:
            assert system.ask("create-tasks", tasks=[{"command": "true"}])["answer"]["tasks"] == [number]


def started(system: Hosts) -> list[str]:
    """The engines that have led, by who they were."""
    journal = open_journal(system.urls.events)
    try:
        return [orjson.loads(one.payload or b"")["holder"] for one in journal.select(type="engine-started")]
    finally:
        journal.close()


def held(system: Hosts) -> bool:
    return any("holds epoch" in one.text for one in look_over(str(system.folder)))


def test_an_engine_that_hears_nobody_gives_the_lease_back_and_leads_again_when_it_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(adapters, "UNHEARD_S", 0.2)
    with hosts(tmp_path) as system:
        assert system.ask("create-tasks", tasks=[{"command": "true"}])["answer"]["tasks"] == [1]
        agent = Agent(system, "one", concurrency=0)
        with monkeypatch.context() as broken:
            broken.setattr(LocalBus, "trouble", "it is away")
            eventually(lambda: not held(system))
            system.send(command("create-tasks", tasks=[{"command": "true"}]))  # waits for whoever leads
        assert system.reply()["answer"]["tasks"] == [2]
        agent.say(Heartbeat(agent.worker, agent.incarnation))
        first, second = started(system)
        assert first == second
    assert "the engine gives the lease back: the broker carries nothing" in caplog.messages


def test_an_engine_that_was_deposed_begins_anew_and_stands_by(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with hosts(tmp_path) as system:
        assert system.ask("create-tasks", tasks=[{"command": "true"}])["answer"]["tasks"] == [1]
        usurper = open_journal(system.urls.events)
        with closing(usurper):
            while (lease := usurper.acquire("usurper", 0.0)) is None:
                pass
            eventually(lambda: "another engine has taken over; this one begins anew and stands by" in caplog.messages)
            usurper.release(lease.epoch)
        assert system.ask("create-tasks", tasks=[{"command": "true"}])["answer"]["tasks"] == [2]


def test_a_leader_whose_store_is_away_leaves_what_it_was_sent_to_whoever_leads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapters, "AWAY_S", 0.1)
    with hosts(tmp_path) as system:
        assert system.ask("create-tasks", tasks=[{"command": "true"}])["answer"]["tasks"] == [1]
        away = True
        append = Journal.append

        def refuse(journal: Journal, turn: Append) -> None:
            if away and turn.answers:
                raise StoreUnavailable("it is away")
            append(journal, turn)

        monkeypatch.setattr(Journal, "append", refuse)
        system.send(command("create-tasks", tasks=[{"command": "true"}]))
        with system.bus.consume("commands") as other:
            (found,) = other.take(1, SOON_S)
            assert b"create-tasks" in found.message.body
        away = False
        assert system.reply()["answer"]["tasks"] == [2]


def test_a_request_that_comes_twice_is_answered_to_both_though_their_turns_are_not_one() -> None:
    with closing(LocalBus()) as bus, bus.mailbox() as first, bus.mailbox() as second:
        engine_bus = adapters.EngineBus(bus, Event())
        request = command("create-tasks", tasks=[{"command": "true"}])
        for box in (first, second):
            bus.send("commands", request, {"actor": "user:ada", "reply_to": box.address})

        async def answered() -> None:
            await engine_bus.subscribe(1)
            for delivery in await engine_bus.take(10, SOON_S):
                assert isinstance(delivery.input, Request)
                await engine_bus.reply([Reply(delivery.input.id, b"{}", None)])
                await engine_bus.done([delivery])

        asyncio.run(answered())
        assert len(first.take(2, SOON_S)) == len(second.take(2, SOON_S)) == 1
        engine_bus.leave()
