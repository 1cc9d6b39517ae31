"""The server is away from its clients for twenty seconds (ten minutes with SCITQ_CAMPAIGN): they go on, and ask seldom.

In each of five ways at once, by each client's own account: a sender to which something is given all the time, a list
that is being submitted, readers that wait, somebody who follows the log. What came of it is what the server has.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from threading import Event
from typing import Any

from scitq.lib import Server
from tests.e2e.away import WAYS, Front, counted
from tests.services.figures import note
from tests.services.scitq import Embedded, embedded
from tests.services.waiting import eventually

AWAY_S, SENT, LISTED, READERS = (600.0, 300, 500, 4) if os.environ.get("SCITQ_CAMPAIGN") else (20.0, 50, 100, 2)
A_SECOND = 2.0


def test_nothing_is_lost_or_doubled_and_the_server_is_asked_twice_a_second_at_most(tmp_path: Path) -> None:
    with embedded(tmp_path) as system, ThreadPoolExecutor() as pool:
        system.server()
        system.client()
        told = [pool.submit(_away, system, way) for way in WAYS]
        for line in [one.result() for one in told]:
            note(line)


def _away(system: Embedded, way: str) -> str:
    front = Front(way, f"http://127.0.0.1:{system.port}")
    token = (system.machine.data / "token").read_text().strip()
    over = Event()
    with (
        Server(f"http://x:{token}@127.0.0.1:{front.port}", get_timeout=None, put_timeout=None) as server,
        ThreadPoolExecutor(READERS + 4) as pool,
    ):
        counted(front, server._connection._line)
        serving = pool.submit(front.serve, over)
        try:
            seconds = _use(server, front, pool, way)
        finally:
            front.come_back()
            over.set()
            serving.result(60)
    rows = system.client().tasks(batch=way)
    names = Counter(row["name"] for row in rows)
    asked = [when for when in front.asked if when <= front.asked[0] + seconds]
    worst = max(sum(when <= one < when + 10 for one in asked) for when in asked)
    wanted = {f"sent {number}" for number in range(SENT)} | {f"listed {number}" for number in range(LISTED)}
    assert set(names) == wanted, f"{way}: {len(wanted - set(names))} are lost"
    assert set(names.values()) == {1}, f"{way}: {[name for name, count in names.items() if count > 1][:5]} are doubled"
    assert len(asked) <= A_SECOND * seconds, f"{way}: {len(asked)} requests in {seconds:.0f} s"
    return (
        f"{way}: {len(asked)} requests in {seconds:.0f} s, {len(asked) / seconds:.2f} a second, at most {worst} in any "
        f"10 s; {len(names)} of {len(wanted)} tasks are there, each once"
    )


def _use(server: Server[dict[str, Any]], front: Front, pool: ThreadPoolExecutor, way: str) -> float:
    """Give it work while it is away, and see all of it done when it is back; for how long it was away."""
    with server.background() as sender:
        counted(front, sender._own_line)
        waiting: list[Future[Any]] = [pool.submit(server.tasks, limit=1) for _ in range(READERS)]
        listed = [{"command": "true", "name": f"listed {number}", "batch": way} for number in range(LISTED)]
        waiting.append(pool.submit(server.tasks_create, listed, False))
        waiting.append(pool.submit(_first_event, server))
        began = time.monotonic()
        handles = []
        for number in range(SENT):
            handles.append(sender.task_create("true", name=f"sent {number}", batch=way))
            eventually(lambda: time.monotonic() >= began + AWAY_S * (len(handles) / SENT), within_s=AWAY_S)
        assert not any(one.done() for one in (*waiting, *handles))
        seconds = time.monotonic() - began
        front.come_back()
        sender.flush(120)
        for one in waiting:
            one.result(120)
        ids = [handle.result(0)["task_id"] for handle in handles]
        assert len(set(ids)) == SENT and ids == sorted(ids), "one after the other"
    return seconds


def _first_event(server: Server[dict[str, Any]]) -> dict[str, Any]:
    with closing(server.events()) as events:
        return next(events)
