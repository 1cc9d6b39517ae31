"""A worker tells how busy its machine is, in the form that programs for scitq 1 read."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest

from scitq.agents.statistics import Reading, Statistics

MB, GB = 1024**2, 1024**3
FIRST = Reading(
    at=100.0, user_s=1000.0, waiting_s=50.0, all_s=5000.0, memory=41.7, swap=3.0, load=(0.5, 0.25, 1.0),
    disks=(10 * GB, GB), network=(5, 5), usage=(("/", 41.4), ("/scratch", 90.6)),
)  # fmt: skip


def later(reading: Reading, user: float, **changes: object) -> Reading:
    """Ten seconds of two cores."""
    at = reading.at + 10
    return reading._replace(at=at, all_s=reading.all_s + 20, user_s=reading.user_s + user, **changes)  # type: ignore[arg-type]


def playing(*readings: Reading) -> Statistics:
    turn: Iterator[Reading] = iter(readings)
    return Statistics(lambda: next(turn))


def test_the_first_sample_has_no_speeds() -> None:
    sample = playing(FIRST, later(FIRST, 5.0, waiting_s=51.0, disks=(12 * GB, GB))).sample()
    assert sample.load == "25.0 / 5.0" and sample.memory == 41.7
    assert json.loads(sample.stats) == {
        "load": "0.50 0.25 1.00",
        "swap": 3.0,
        "disk": {"speed": "-/-", "usage": ["/:41", "/scratch:91"], "counter": "2.0/0.0 Gb"},
        "network": {"speed": "-/-", "counter": "0.0/0.0 Gb"},
    }


def test_speeds_are_since_the_sample_before_and_counters_since_the_start() -> None:
    second = later(FIRST, 5.0)
    third = later(second, 10.0, disks=(10 * GB + 105 * MB, GB), network=(5, 5 + 3 * GB))
    statistics = playing(FIRST, second, third, later(third, 1.0), later(third, 1.0))
    statistics.sample()
    sample = statistics.sample()
    assert sample.load == "50.0↑ / 0.0"
    stats = json.loads(sample.stats)
    assert stats["disk"]["speed"] == "10.50/0.00 Mb/s" and stats["disk"]["counter"] == "0.1/0.0 Gb"
    assert stats["network"] == {"speed": "0.00/307.20 Mb/s", "counter": "0.0/3.0 Gb"}
    assert statistics.sample().load == "5.0↓ / 0.0"


@pytest.mark.parametrize("changes", [{"all_s": 5000.0}, {"waiting_s": 0.0}, {"disks": (0, 0)}, {"at": 100.0}])
def test_counters_that_stand_still_or_begin_anew_make_no_nonsense(changes: dict[str, float]) -> None:
    statistics = playing(FIRST, later(FIRST, 1.0), FIRST._replace(**changes))  # type: ignore[arg-type]
    for _ in range(2):
        sample = statistics.sample()
        assert re.fullmatch(r"(\d+\.\d)[↑↓]? / (\d+\.\d)", sample.load)
        assert "-" not in json.loads(sample.stats)["disk"]["speed"].replace("-/-", "")
        assert "inf" not in sample.stats and "nan" not in sample.stats


def test_this_machine_can_be_read() -> None:
    statistics = Statistics()
    sample = statistics.sample()
    assert 0 < sample.memory <= 100
    stats = json.loads(sample.stats)
    assert any(re.fullmatch(r"/.*:\d{1,3}", one) for one in stats["disk"]["usage"])
