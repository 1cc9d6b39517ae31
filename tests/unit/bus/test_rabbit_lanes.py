"""What waits for a broker: bounded, in its order, and not lost with a connection."""

from __future__ import annotations

import pytest

from scitq.bus import rabbit_lanes
from scitq.bus.rabbit_lanes import Fence, Lane, Outgoing
from scitq.errors import BusUnavailable, Malformed


def message(body: bytes = b"x") -> Outgoing:
    return Outgoing("exchange", "key", body)


def bodies(lane: Lane, fence: Fence, now: float) -> list[bytes]:
    """What goes now, written under the next tags."""
    found = []
    while (one := lane.next(fence, now)) is not None:
        lane.went(len(lane.sent) + 1, one, now)
        found.append(one.body)
    return found


@pytest.mark.parametrize(
    ("key", "headers"), [("k" * 256, {}), ("k", {"n" * 256: ""}), ("k", {"name": "\ud800"}), ("\ud800", {})]
)
def test_what_amqp_cannot_carry_is_found_out_where_it_is_sent(key: str, headers: dict[str, str]) -> None:
    with pytest.raises(Malformed):
        Outgoing("exchange", key, b"", headers).check()
    Outgoing("exchange", "k" * 255, b"", {"n" * 255: "v" * 100_000}).check()


def test_a_lane_is_bounded_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rabbit_lanes, "MOST_WAITING_BYTES", 100)
    lane = Lane("output", kept=True)
    lane.add(message(bytes(1_000)))  # one goes in, however large
    with pytest.raises(BusUnavailable, match="slow to take output"):
        lane.add(message())


def test_what_nobody_is_promised_makes_room_for_what_is_newer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rabbit_lanes, "MOST_WAITING", 3)
    lane = Lane("messages", kept=False)
    for number in range(5):
        lane.add(message(b"%d" % number))
    assert lane.dropped == 2
    assert bodies(lane, Fence(), 0.0) == [b"2", b"3", b"4"]


def test_no_more_is_on_its_way_than_the_window_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rabbit_lanes, "MOST_SENT", 2)
    lane, fence = Lane("reports", kept=True), Fence()
    for number in range(3):
        lane.add(message(b"%d" % number))
    assert bodies(lane, fence, 0.0) == [b"0", b"1"]
    assert not lane.held()
    lane.taken(1)
    assert lane.held()
    assert bodies(lane, fence, 0.0) == [b"2"]


def test_what_was_not_confirmed_goes_again_before_all_others_over_the_next_connection() -> None:
    kept, gone, fence = Lane("reports", kept=True), Lane("messages", kept=False), Fence()
    for lane in (kept, gone):
        lane.add(message(b"1"))
        lane.add(message(b"2"))
        assert bodies(lane, fence, 0.0) == [b"1", b"2"]
        lane.taken(1)
        lane.add(message(b"3"))
        lane.lost()
    assert bodies(kept, fence, 0.0) == [b"2", b"3"]
    assert gone.empty


def test_what_the_broker_gave_back_is_tried_again_after_a_pause() -> None:
    lane, fence = Lane("reports", kept=True), Fence()
    lane.add(message(b"1"))
    one = lane.next(fence, 0.0)
    assert one is not None
    lane.again([one])
    lane.pause()
    assert lane.next(fence, one.asked) is None
    with pytest.raises(BusUnavailable, match="full"):
        lane.add(message())
    assert lane.next(fence, one.asked + 60.0) is one


def test_a_message_waits_for_what_was_followed_before_it_but_not_for_ever() -> None:
    lane, fence = Lane("reports", kept=True), Fence()
    one = message()
    one.after = fence.ask()
    lane.add(one)
    assert lane.next(fence, one.asked) is None
    assert lane.held()
    fence.reached = 1
    assert lane.next(fence, one.asked) is one
    lane.again([one])
    fence.reached = 0
    assert lane.next(fence, one.asked + rabbit_lanes.HOLD_S) is one
