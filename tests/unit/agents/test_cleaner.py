"""What failed tasks leave is kept to be looked at, and goes when it is time, or when the disk is full."""

from __future__ import annotations

import os
import time
from pathlib import Path

from scitq.agents.cleaner import KEPT, Cleaner, percent_used
from scitq.agents.resources import Resources
from scitq.fetch import Cancellation

NO = Cancellation()


class Disk:
    """Each folder that is left is a tenth of it."""

    def __init__(self, base: Path) -> None:
        self.base = base

    def used_percent(self, folder: str) -> float:
        resources = self.base / "resources"
        left = [one for one in self.base.iterdir() if one != resources]
        kept = list(resources.iterdir()) if resources.exists() else []
        return 10.0 * (len(left) + len(kept))


def cleaner(base: Path, *, keep_failed_s: float = 3_600.0, autoclean: int = 90) -> tuple[Cleaner, Resources]:
    resources = Resources(base / "resources")
    made = Cleaner(
        str(base), resources, keep_failed_s=keep_failed_s, autoclean=autoclean, used_percent=Disk(base).used_percent
    )
    return made, resources


def failed(base: Path, *executions: int) -> None:
    for execution in executions:
        (base / str(execution) / "output").mkdir(parents=True)


def left(base: Path) -> list[str]:
    return sorted(one.name for one in base.iterdir() if one.name != "resources")


def test_the_folder_of_a_failed_task_stays_for_a_while(tmp_path: Path) -> None:
    failed(tmp_path, 1)
    kept, _ = cleaner(tmp_path)
    kept.keep(1)
    kept.look()
    assert left(tmp_path) == ["1"]
    soon, _ = cleaner(tmp_path, keep_failed_s=0.0)
    soon.keep(1)
    soon.look()
    assert left(tmp_path) == []


def test_after_a_restart_it_has_stayed_for_as_long_as_it_has(tmp_path: Path) -> None:
    failed(tmp_path, 1, 2, 3)
    first, _ = cleaner(tmp_path)
    first.keep(1)
    first.keep(2)
    os.utime(tmp_path / "1" / KEPT, (time.time() - 7_200, time.time() - 7_200))
    later, _ = cleaner(tmp_path)
    assert later.found([1, 2, 3]) == [3], "3 was of no use to anybody"
    later.look()
    assert left(tmp_path) == ["2", "3"]


def test_on_a_full_disk_the_oldest_go_first_and_no_more_than_needed(tmp_path: Path) -> None:
    failed(tmp_path, 1, 2, 3, 4)
    one, _ = cleaner(tmp_path, autoclean=30)
    for execution in (1, 2, 3, 4):
        one.keep(execution)
    one.look()
    assert left(tmp_path) == ["3", "4"]


def test_then_resources_that_nobody_uses_and_none_that_somebody_does(tmp_path: Path) -> None:
    failed(tmp_path, 1)
    one, resources = cleaner(tmp_path, autoclean=10)
    for name in ("old", "used"):
        (tmp_path.parent / name).write_text(name)
    into = tmp_path.parent / "into"
    into.mkdir()
    resources.link(f"file://{tmp_path.parent}/old", str(into), 7, NO)
    resources.link(f"file://{tmp_path.parent}/used", str(into), 8, NO)
    resources.let_go(7)
    one.keep(1)
    one.look()
    assert left(tmp_path) == [] and len(list((tmp_path / "resources").iterdir())) == 1
    resources.let_go(8)
    one.look()
    assert list((tmp_path / "resources").iterdir()) == []
    assert (into / "old").read_text() == "old", "who has it keeps it"


def test_all_of_it_goes_when_somebody_asks_for_that(tmp_path: Path) -> None:
    failed(tmp_path, 1, 2)
    one, _ = cleaner(tmp_path)
    one.keep(1)
    one.keep(2)
    one.clean()
    one.look()
    assert left(tmp_path) == []


def test_how_full_the_disk_is(tmp_path: Path) -> None:
    assert 0 < percent_used(str(tmp_path)) <= 100
    assert percent_used(str(tmp_path / "nothing")) == 0.0
