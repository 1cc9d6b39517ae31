"""What an agent tells of the moment: only while somebody looks, bounded, and once what has ended."""

from __future__ import annotations

from collections.abc import Mapping

from scitq.agents.telling import FEWEST, MOST_AT_ONCE, MOST_KEPT, MOST_S, Telling
from scitq.agents.transfers import Underway
from scitq.agents.usage import Point
from scitq.agents.usage_processes import Used
from scitq.domain.agent_wire import encode_from_agent, parse_from_agent
from scitq.domain.messages import Look
from scitq.domain.telemetry import MOST_EXECUTIONS, MOST_FILES, Telemetry, passed_on, received
from scitq.fetch import Progress
from scitq.fetch.watch import Moving


def curve(points: int) -> list[Point]:
    return [Point(float(at), Used(at * 0.9, at << 20, at, at)) for at in range(1, points + 1)]


def telling(underway: Mapping[int, Underway] | None = None) -> Telling:
    return Telling(underway or {}, lambda execution: curve(3) if execution == 1 else [])


def same(said: Telemetry) -> Telemetry:
    """It is understood by the server, and by those to whom it passes it on."""
    heard = parse_from_agent(encode_from_agent(said))
    assert heard == said and received(passed_on(said)) == said
    return said


def test_nothing_is_told_of_executions_until_somebody_looks_and_no_longer() -> None:
    one = telling()
    assert one.due() is None and one.live(3, "i", 0.0) is None
    one.look([Look(1, 2.5)], 10.0)
    assert one.due() == 10.0
    told = []
    while (due := one.due()) is not None:
        said = one.live(3, "i", due)
        told += [] if said is None else [same(said)]
        assert one.live(3, "i", due + 0.1) is None, "it is told each second"
    assert len(told) == 3
    (first,) = told[0].executions
    assert first.execution == 1 and first.transfer is None and len(first.curve) == 3


def test_whoever_looks_for_ever_or_at_everything_is_not_heard_for_ever() -> None:
    one = telling()
    one.look([Look(execution, 1e9) for execution in range(1, 10_000)], 0.0)
    said = one.live(3, "i", 0.0)
    assert said is not None and len(same(said).executions) == MOST_EXECUTIONS
    assert one.live(3, "i", MOST_S + 1) is None and one.due() is None


def test_how_fast_a_transfer_is_follows_from_what_came_since() -> None:
    underway = Underway("downloading", {}, "", part=2, parts=3)
    one = telling({1: underway})
    one.look([Look(1, 60)], 0.0)
    rates, parts = [], []
    for second, done in enumerate((0, 1_000, 3_000, 2_000)):
        files = tuple(Moving(f"{number}\0.fq", 7, None) for number in range(100))
        underway.progress = Progress("x", done, 9_000, 1, 4, files) if second else None
        said = one.live(3, "i", float(second))
        assert said is not None
        transfer = same(said).executions[0].transfer
        assert transfer is not None
        rates.append(transfer.rate)
        parts.append((transfer.part, transfer.parts, len(transfer.files)))
    assert rates == [None, 1_000, 2_000, 0]
    assert parts == [(2, 3, 0), *[(2, 3, MOST_FILES)] * 3]


def test_an_image_is_shown_as_it_comes_before_what_else_is_fetched() -> None:
    underway = Underway("downloading", {}, "", image=(30, 40))
    one = telling({2: underway})
    one.look([Look(2, 60)], 0.0)
    transfers = []
    for second, image in enumerate(((30, 40), (40, 0), None)):
        underway.image = image
        said = one.live(3, "i", float(second))
        assert said is not None
        transfers.append(same(said).executions[0].transfer)
    assert [one and (one.what, one.done_bytes, one.total_bytes, one.rate) for one in transfers] == [
        ("pulling", 30, 40, None),
        ("pulling", 40, None, 10.0),
        ("downloading", 0, None, None),
    ]


def test_a_curve_is_told_once_after_its_end_unless_it_says_nothing() -> None:
    one = telling()
    assert one.beat(3, "i") is None, "the first look at a machine has nothing to compare with"
    one.on_end(1, curve(FEWEST - 1))
    one.on_end(2, curve(120))
    said = one.beat(3, "i")
    assert said is not None and same(said).has_ended
    assert [(live.execution, len(live.curve), live.ended) for live in said.executions] == [(2, 120, True)]
    assert said.machine is not None and 0 < said.machine.memory < 100 and '"network"' in said.machine.stats
    again = one.beat(3, "i")
    assert again is not None and again.executions == ()


def test_what_ended_while_no_server_was_there_is_kept_as_far_as_there_is_room() -> None:
    one = telling()
    for execution in range(1, 2 * MOST_KEPT):
        one.on_end(execution, curve(FEWEST))
    told: list[int] = []
    while (said := one.beat(3, "i")) is None or said.executions:
        told += [live.execution for live in said.executions] if said else []
        assert said is None or len(said.executions) <= MOST_AT_ONCE
    assert told == list(range(MOST_KEPT, 2 * MOST_KEPT))
