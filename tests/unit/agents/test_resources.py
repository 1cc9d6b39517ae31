"""Resources are fetched once, refreshed when their source changes, linked in order, and survive what may happen."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from scitq.agents import resources as module
from scitq.agents.resources import Resources
from scitq.fetch import Cancellation, Cancelled
from scitq.fetch.errors import NotFound

NO = Cancellation()


@pytest.fixture
def shared(tmp_path: Path) -> Resources:
    return Resources(tmp_path / "resources")


def target(tmp_path: Path, name: str = "task") -> str:
    (tmp_path / name).mkdir(exist_ok=True)
    return str(tmp_path / name)


def source(tmp_path: Path, name: str, text: str) -> str:
    (tmp_path / "source").mkdir(exist_ok=True)
    (tmp_path / "source" / name).write_text(text)
    return f"file://{tmp_path}/source/{name}"


def test_two_hundred_tasks_at_once_fetch_it_once(tmp_path: Path, shared: Resources) -> None:
    uri = source(tmp_path, "genome", "ACGT")
    with ThreadPoolExecutor(50) as pool:
        moved = list(pool.map(lambda n: shared.link(uri, target(tmp_path, f"t{n}"), n, NO), range(200)))
    assert sum(one.files for one in moved) == 1 and sum(one.bytes for one in moved) == 4
    inodes = {os.stat(tmp_path / f"t{number}" / "genome").st_ino for number in range(200)}
    assert len(inodes) == 1 and not os.access(tmp_path / "t0" / "genome", os.X_OK)
    assert os.stat(tmp_path / "t0" / "genome").st_mode & 0o222 == 0


def test_the_next_life_of_the_agent_remembers_it(tmp_path: Path, shared: Resources) -> None:
    uri = source(tmp_path, "genome", "ACGT")
    shared.link(uri, target(tmp_path), 1, NO)
    again = Resources(tmp_path / "resources")
    assert again.link(uri, target(tmp_path, "other"), 2, NO).files == 0


def test_a_changed_source_is_fetched_anew_and_who_has_the_old_one_keeps_it(
    tmp_path: Path, shared: Resources, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FRESH_S", 0.0)
    uri = source(tmp_path, "genome", "old")
    shared.link(uri, target(tmp_path), 1, NO)
    source(tmp_path, "genome", "newer")
    assert shared.link(uri, target(tmp_path, "second"), 2, NO).files == 1
    assert (tmp_path / "task" / "genome").read_text() == "old"
    assert (tmp_path / "second" / "genome").read_text() == "newer"


def test_the_same_place_with_another_action_is_another_resource(tmp_path: Path, shared: Resources) -> None:
    uri = source(tmp_path, "a", "a")
    shared.link(uri, target(tmp_path), 1, NO)
    moved = shared.link(f"{uri}|mv:below", target(tmp_path), 1, NO)
    assert moved.files == 1 and (tmp_path / "task" / "below" / "a").read_text() == "a"


def test_of_two_with_a_file_of_one_name_the_later_one_counts(tmp_path: Path, shared: Resources) -> None:
    first, second = source(tmp_path, "a", "first"), source(tmp_path, "b", "second")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "a").write_text("later")
    into = target(tmp_path)
    shared.link(first, into, 1, NO)
    shared.link(f"file://{tmp_path}/folder/", into, 1, NO)
    shared.link(second, into, 1, NO)
    assert (tmp_path / "task" / "a").read_text() == "later" and (tmp_path / "source" / "a").read_text() == "first"


def test_what_is_not_there_leaves_nothing_behind_and_no_lock(tmp_path: Path, shared: Resources) -> None:
    uri = f"file://{tmp_path}/nothing"
    for _ in range(2):
        with pytest.raises(NotFound):
            shared.link(uri, target(tmp_path), 1, NO)
    assert list(tmp_path.glob("resources/*")) == []


def test_what_a_killed_agent_left_half_done_is_removed(tmp_path: Path, shared: Resources) -> None:
    uri = source(tmp_path, "genome", "ACGT")
    half = tmp_path / "resources" / f"{module.key_of(uri)}.1234"
    (half / "files").mkdir(parents=True)
    (half / "files" / "genome").write_text("AC")
    again = Resources(tmp_path / "resources")
    assert not half.exists()
    again.link(uri, target(tmp_path), 1, NO)
    assert (tmp_path / "task" / "genome").read_text() == "ACGT"


def test_who_waits_for_anothers_download_can_be_called_off(tmp_path: Path, shared: Resources) -> None:
    uri = source(tmp_path, "genome", "ACGT")
    kept = shared._used_by(module.key_of(uri), 1)
    off, ended = Cancellation(), threading.Event()

    def wait() -> None:
        with pytest.raises(Cancelled):
            shared.link(uri, target(tmp_path), 2, off)
        ended.set()

    with kept.lock:
        waiting = threading.Thread(target=wait)
        waiting.start()
        off.cancel()
        assert ended.wait(20)
    waiting.join()


def test_forgotten_resources_are_fetched_anew(tmp_path: Path, shared: Resources) -> None:
    uri = source(tmp_path, "genome", "ACGT")
    shared.link(uri, target(tmp_path), 1, NO)
    shared.let_go(1)
    shared.forget()
    assert shared.link(uri, target(tmp_path), 2, NO).files == 1
