"""Several processes of one server start at once on a store that is not there yet: each of them finds it whole."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from scitq.bootstrap import preparing
from scitq.errors import Rejected, SchemaMismatch, StoreUnavailable
from scitq.store import upgrade
from scitq.store.health import exists, look_over
from tests.services.postgres import PrivatePostgres

SAME_TIME = 6


def test_all_who_start_at_once_find_it_whole(postgres: PrivatePostgres) -> None:
    url = postgres.create_database()
    with ThreadPoolExecutor(SAME_TIME) as pool:
        for done in [pool.submit(preparing.prepare, url) for _ in range(SAME_TIME)]:
            done.result()
    assert all(finding.good for finding in look_over(url))


def test_half_a_store_is_waited_for(postgres: PrivatePostgres, monkeypatch: pytest.MonkeyPatch) -> None:
    """The log is there and the output is not: another process is between the two."""
    url = postgres.create_database()
    half = _only(monkeypatch, "journal")
    upgrade.upgrade(url)
    half()
    other = threading.Timer(0.5, upgrade.upgrade, [url])
    other.start()
    preparing.prepare(url)
    other.join()
    assert all(finding.good for finding in look_over(url))


def test_half_a_store_that_stays_one_is_refused(postgres: PrivatePostgres, monkeypatch: pytest.MonkeyPatch) -> None:
    url = postgres.create_database()
    half = _only(monkeypatch, "journal")
    upgrade.upgrade(url)
    half()
    monkeypatch.setattr(preparing, "MAKE_S", 0.3)
    with pytest.raises(SchemaMismatch, match="scitq-manage db"):
        preparing.prepare(url)


def test_one_who_makes_it_between_two_looks_is_not_taken_for_a_lost_log(
    postgres: PrivatePostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = postgres.create_database()

    def exists_no_more(store: str | None) -> bool:
        there = exists(store)
        upgrade.upgrade(store)  # the other process, at the worst moment
        return there

    monkeypatch.setattr(preparing, "exists", exists_no_more)
    preparing.prepare(url)
    assert all(finding.good for finding in look_over(url))


def test_a_log_that_is_gone_is_said(tmp_path: Path) -> None:
    store = str(tmp_path / "store")
    preparing.prepare(store)
    (tmp_path / "store" / "events.db").unlink()
    with pytest.raises(Rejected, match="is gone, and what it is the log of is still there"):
        preparing.prepare(store)


def test_a_database_that_is_away_is_no_empty_one() -> None:
    with pytest.raises(StoreUnavailable):
        preparing.prepare("postgresql://nobody@127.0.0.1:1/nothing")


def _only(monkeypatch: pytest.MonkeyPatch, area: str) -> Callable[[], None]:
    """From now on only that half of a store is made; what it gives ends that."""
    both = upgrade._areas
    monkeypatch.setattr(upgrade, "_areas", lambda setting: [one for one in both(setting) if one[0] == area])
    return lambda: monkeypatch.setattr(upgrade, "_areas", both)
