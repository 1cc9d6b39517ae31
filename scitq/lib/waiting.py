"""Waiting for tasks: one question at first, then what the log says, until each of them has ended."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from contextlib import aclosing, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

from scitq.errors import Malformed, ServerError, TasksFailed, Unreachable
from scitq.lib.answers import TRY_AGAIN
from scitq.lib.events import Event, Events
from scitq.lib.portions import MOST_TASKS
from scitq.lib.progress import ENDED, OnStatuses, Wish, watching

if TYPE_CHECKING:
    from scitq.lib.tasks import Tasks

HELD: Final = frozenset({"waiting", "paused"})
SAYS: Final = {
    "execution-assigned": "assigned",
    "execution-accepted": "accepted",
    "execution-started": "running",
    "execution-succeeded": "succeeded",
    "task-deleted": "deleted",
}
"""What an event makes of the status of its task. After any other, the server is asked."""

BLOCKED: Final = "task-blocked"
DOUBT_S: Final = 0.5
FIRST_LOOK_S: Final = 1.0
LONGEST_LOOK_S: Final = 30.0
MOST_LOOKED_AT: Final = 100_000

T = TypeVar("T")


class _TimeIsOver(Exception):
    """There was no answer in the time that was given."""


class Waiting:
    """For some tasks. `again` is told of those that failed for good, and says which of them run once more."""

    def __init__(
        self,
        server: Tasks[Any],
        ids: list[int],
        on_progress: OnStatuses | None = None,
        again: Callable[[list[int]], Awaitable[set[int]]] | None = None,
    ) -> None:
        self._server, self._connection = server, server._connection
        self._on_progress, self._again = on_progress, again
        self._statuses = dict.fromkeys(ids, "pending")
        self._open = set(ids)
        self._look_pause_s, self._next_look, self._soonest_look = FIRST_LOOK_S, 0.0, 0.0
        self._blocked = False
        self._end: float | None = None

    async def run(self, timeout: float | None) -> dict[int, str]:
        """How each stands when all have ended, the time is over, or what is left waits in vain."""
        self._end = None if timeout is None else time.monotonic() + timeout
        with suppress(_TimeIsOver):
            await self._run()
        return self._statuses

    async def _run(self) -> None:
        position = await self._begin()
        self._tell()
        if not self._open or await self._in_vain():
            return
        while await self._follow(position):
            position = self._seen

    async def _follow(self, position: int) -> bool:
        """Take what comes behind a position. True: something else is to be listened to from now on."""
        stream = self._stream()
        self._seen = position
        async with aclosing(Events(self._connection, stream=stream).run(position, end=self._end)) as log:
            async for events in log:
                if events:
                    self._seen = events[-1]["position"]
                if await self._take(events):
                    self._tell()
                if not self._open or await self._in_vain():
                    return False
                if self._stream() != stream:
                    return True
        return False

    def _stream(self) -> str | None:
        """One task alone is listened to alone, but what waits may come to wait in vain by what happens to others."""
        return f"task-{next(iter(self._open))}" if len(self._open) == 1 and not self._held() else None

    async def _begin(self) -> int:
        if not self._open:
            return 0
        ids = list(self._statuses)
        try:
            statuses, position = await self._server._statuses(ids, self._left_s())
            found = dict(zip(ids, statuses, strict=True))
        except ServerError as error:
            if error.status != 404:
                raise
            position = self._connection.position
            found = await self._standing(ids)
            rest = [task for task in ids if task not in found]
            found |= {row["task_id"]: "deleted" for row in await self._rows(rest, status=["deleted"])}
            if len(found) < len(ids):  # an id that nobody knows is refused
                raise
        await self._enter(found)
        return position

    async def _take(self, events: Iterable[Event]) -> bool:
        """Something changed."""
        unsure: set[int] = set()
        changed = False
        for event in events:
            task = _task(event)
            if event["type"] == BLOCKED:  # perhaps of one that ours wait for
                self._connection.expect(event["position"])
                self._blocked = True
            if task not in self._open:
                continue
            changed = True
            self._connection.expect(event["position"])
            status = SAYS.get(event["type"])
            if status is None:
                unsure.add(task)
            else:
                self._statuses[task] = status
                unsure.discard(task)
                if status in ENDED:
                    self._open.discard(task)
        if unsure:
            await self._enter(await self._asked(unsure))
        return changed

    async def _enter(self, statuses: dict[int, str]) -> None:
        """Take what the server says of some. A failure counts once nothing retries the task any more."""
        failed = [task for task, status in statuses.items() if status == "failed"]
        if failed and (doubtful := await self._retried(failed)):
            # A retry is recorded together with the failure, and seen with it but for a moment.
            await self._connection.pause(DOUBT_S)
            statuses |= await self._asked(doubtful)
        failed = [task for task in failed if statuses[task] == "failed"]
        again = await self._again(failed) if failed and self._again else set()
        for task, status in statuses.items():
            self._statuses[task] = "pending" if task in again else status
            if status in ENDED and task not in again:
                self._open.discard(task)

    async def _asked(self, ids: set[int]) -> dict[int, str]:
        asked = list(ids)
        try:
            statuses, _ = await self._patiently(lambda wait_s: self._server._statuses(asked, wait_s))
            return dict(zip(asked, statuses, strict=True))
        except ServerError as error:
            if error.status != 404:
                raise
        known = await self._standing(asked)
        return {task: known.get(task, "deleted") for task in asked}

    async def _retried(self, failed: list[int]) -> set[int]:
        return {row["task_id"] for row in await self._rows(failed) if row["status"] != "failed" or row["retry"]}

    async def _standing(self, ids: list[int]) -> dict[int, str]:
        """The statuses of those that are there."""
        return {row["task_id"]: row["status"] for row in await self._rows(ids)}

    async def _rows(self, ids: list[int], **filters: Any) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        for begin in range(0, len(ids), MOST_TASKS):
            asked = {"task_id": ids[begin : begin + MOST_TASKS], **filters}
            found += (await self._patiently(partial(self._connection.read, "/tasks/", asked))).content
        return found

    async def _patiently(self, ask: Callable[[float | None], Awaitable[T]]) -> T:
        """Whoever waits goes on waiting while the server is away, for as long as there is time."""
        while True:
            try:
                return await ask(self._left_s())
            except (Unreachable, ServerError) as error:
                if isinstance(error, ServerError) and error.status not in TRY_AGAIN:
                    raise
                if self._left_s() == 0.0:
                    raise _TimeIsOver from error
                await self._connection.pause(DOUBT_S)

    def _left_s(self) -> float | None:
        return None if self._end is None else max(0.0, self._end - time.monotonic())

    async def _in_vain(self) -> bool:
        """All that is left waits for something that has failed. It takes some reading: it is looked up when something
        was blocked, together with what else was at that time, and otherwise seldom."""
        began = time.monotonic()
        if (began < self._next_look and not self._blocked) or not self._held():
            return False
        if self._blocked:
            until = self._soonest_look if self._end is None else min(self._soonest_look, self._end)
            await self._connection.pause(max(0.0, until - began))
            began = time.monotonic()
        self._blocked = False
        in_vain = self._open <= _blocked(await self._with_what_they_need())
        now = time.monotonic()
        self._soonest_look, self._next_look = now + 5 * (now - began), now + self._look_pause_s
        self._look_pause_s = min(LONGEST_LOOK_S, self._look_pause_s * 2)
        return in_vain

    async def _with_what_they_need(self) -> dict[int, dict[str, Any]]:
        rows: dict[int, dict[str, Any]] = {}
        todo = set(self._open)
        while todo and len(rows) < MOST_LOOKED_AT:
            found = await self._rows(list(todo))
            rows |= {row["task_id"]: row for row in found}
            waiting = [row for row in found if row["status"] == "waiting" and not row["blocked_by"]]
            todo = {other for row in waiting for other in row["required_task_ids"] or ()} - rows.keys()
        return rows

    def _held(self) -> bool:
        return all(self._statuses[task] in HELD for task in self._open)

    def _tell(self) -> None:
        if self._on_progress is not None:
            self._on_progress(self._statuses)


def _task(event: Event) -> int:
    kind, _, number = str(event.get("stream")).partition("-")
    return int(number) if kind == "task" and number.isdecimal() else 0


def _blocked(rows: dict[int, dict[str, Any]]) -> set[int]:
    """Those that wait for what will not succeed by itself, directly or through others."""
    dependants: dict[int, list[int]] = {}
    for task, row in rows.items():
        if row["status"] == "waiting":
            for other in row["required_task_ids"] or ():
                dependants.setdefault(other, []).append(task)
    blocked = {task for task, row in rows.items() if row["status"] == "waiting" and row["blocked_by"]}
    todo = list(blocked)
    while todo:
        for task in dependants.get(todo.pop(), ()):
            if task not in blocked:
                blocked.add(task)
                todo.append(task)
    return blocked


async def join(
    server: Tasks[Any], ids: list[int], retry: int, check: bool, progress: Wish = None, timeout: float | None = None
) -> dict[str, int]:
    """See `Server.join`."""
    if not ids:
        raise Malformed("there is no task to wait for")
    left = dict.fromkeys(ids, retry)

    async def again(failed: list[int]) -> set[int]:
        chosen = [task for task in failed if left[task] > 0]
        for task in chosen:
            left[task] -= 1
        refused = await server._act("relaunch", chosen) if chosen else {}
        return set(chosen) - refused.keys()

    with watching(progress, len(left)) as tell:
        statuses = await Waiting(server, ids, tell, again).run(timeout)
    if check and any(status != "succeeded" for status in statuses.values()):
        raise TasksFailed(statuses)
    return dict(Counter(statuses.values()))
