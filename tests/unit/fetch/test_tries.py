"""Trying again, following and calling off: written once for all protocols, so proved once."""

from __future__ import annotations

import threading

import pytest

from scitq.fetch import watch as watching
from scitq.fetch.errors import Cancelled, Corrupt, FetchError, NotFound, TimedOut, Unreachable
from scitq.fetch.many import each
from scitq.fetch.tries import Patience, persistently
from scitq.fetch.watch import Cancellation, Moving, Progress, Watch


class Pauses(Cancellation):
    """Does not sleep: it notes how long it would."""

    def __init__(self) -> None:
        super().__init__()
        self.s: list[float] = []

    def wait(self, seconds: float) -> None:
        self.check()
        self.s.append(seconds)


class Failing:
    """Work that fails in these ways, one after the other, and then succeeds."""

    def __init__(self, *errors: FetchError) -> None:
        self._errors = list(errors)
        self.done = 0

    def __call__(self) -> str:
        self.done += 1
        if self._errors:
            raise self._errors.pop(0)
        return "done"


def test_what_can_heal_is_tried_again_with_growing_pauses() -> None:
    pauses = Pauses()
    work = Failing(*(Unreachable("cut") for _ in range(8)))
    assert persistently(work, "a", pauses, Patience(tries=9, first_s=1.0, longest_s=20.0)) == "done"
    for pause_s, longest_s in zip(pauses.s, [1, 2, 4, 8, 16, 20, 20, 20], strict=True):
        assert longest_s / 2 <= pause_s <= longest_s


def test_pauses_are_spread_by_chance() -> None:
    error = Unreachable("busy")
    assert len({Patience().pause_s(5, error) for _ in range(50)}) > 40


def test_a_server_that_names_a_time_is_heard_within_reason() -> None:
    patience = Patience(first_s=1.0, longest_s=30.0)
    assert patience.pause_s(1, Unreachable("busy", 20.0)) == 20.0
    assert patience.pause_s(1, Unreachable("busy", 86_400.0)) == 30.0


def test_what_cannot_heal_is_never_tried_again() -> None:
    work = Failing(NotFound("none"))
    with pytest.raises(NotFound):
        persistently(work, "a", Pauses())
    assert work.done == 1


def test_the_last_error_is_told_when_patience_ends() -> None:
    work = Failing(*(Corrupt(f"try {number}") for number in range(1, 10)))
    with pytest.raises(Corrupt, match="try 4"):
        persistently(work, "a", Pauses(), Patience(tries=4))


def test_a_try_that_got_further_begins_the_count_anew() -> None:
    reached = iter(range(1, 100))
    work = Failing(*(Unreachable("cut") for _ in range(20)))
    assert persistently(work, "a", Pauses(), Patience(tries=3), lambda: next(reached)) == "done"


def test_calling_off_ends_the_pause_and_hides_the_error_it_causes() -> None:
    calling_off = Cancellation()

    def work() -> None:
        calling_off.cancel()
        raise Unreachable("cut, as it was called off")

    with pytest.raises(Cancelled):
        persistently(work, "a", calling_off)
    with pytest.raises(Cancelled):
        Cancellation.wait(calling_off, 1000)


def test_cutting_is_called_once_and_only_while_it_lasts() -> None:
    calling_off, cut = Cancellation(), []
    with calling_off.cutting(lambda: cut.append("over")):
        pass
    with calling_off.cutting(lambda: cut.append("now")):
        calling_off.cancel()
    assert cut == ["now"]
    with pytest.raises(Cancelled), calling_off.cutting(lambda: cut.append("late")):
        pass


def test_totals_are_told_once_all_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "TELL_EVERY_S", 0.0)
    told: list[Progress] = []
    whole = Watch(told.append)
    first, second = whole.file("a", 10), whole.file("b")
    first.moved(4)
    assert told[-1] == Progress("a", 4, None, 0, None, (Moving("a", 4, 10),))
    whole.all_begun()
    second.moved(1)
    assert told[-1] == Progress("b", 5, None, 0, 2, (Moving("a", 4, 10), Moving("b", 1, None)))
    second.has_size(20)
    second.has_size(20)
    first.again(2)
    assert told[-1] == Progress("a", 3, 30, 0, 2, (Moving("a", 2, 10), Moving("b", 1, 20)))
    first.moved(8)
    first.done()
    assert told[-1] == Progress("a", 11, 30, 1, 2, (Moving("b", 1, 20),))


def test_the_callback_is_called_rarely_but_at_the_end() -> None:
    told: list[Progress] = []
    whole = Watch(told.append)
    files = [whole.file(str(number), 1) for number in range(1000)]
    whole.all_begun()
    for file in files:
        file.moved(1)
        file.done()
    assert len(told) < 500
    assert told[-1].done_files == 1000


def test_a_trickle_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("scitq.fetch.watch.time.monotonic", lambda: now[0])
    file = Watch().file("a", 10**9)
    file.again()
    for _ in range(100):
        now[0] += 5.0
        file.moved(100)
    with pytest.raises(TimedOut, match="bytes a second"):
        for _ in range(100):
            now[0] += 5.0
            file.moved(100)


def test_never_more_at_once_than_was_said() -> None:
    now, most, lock, gate = [0], [0], threading.Lock(), threading.Barrier(4, timeout=20)

    def work(thing: int) -> None:
        with lock:
            now[0] += 1
            most[0] = max(most)
            most.append(now[0])
        if thing < 4:
            gate.wait()  # four are really at work together
        with lock:
            now[0] -= 1

    each(work, range(40), 4, Cancellation())
    assert max(most) == 4


def test_the_first_error_ends_the_others_and_is_the_one_told() -> None:
    calling_off = Cancellation()
    begun: list[int] = []

    def work(thing: int) -> None:
        begun.append(thing)
        if thing == 3:
            raise NotFound("three")
        calling_off.wait(60)

    with pytest.raises(NotFound, match="three"):
        each(work, range(1000), 4, calling_off)
    assert len(begun) <= 8
