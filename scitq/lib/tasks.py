"""Tasks: submitting, looking at, steering."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable, Iterable, Sized
from contextlib import aclosing
from typing import Any, Final, Generic, Literal

from scitq.lib import portions
from scitq.lib.calling import change, iteration, operation
from scitq.lib.events import Events
from scitq.lib.progress import Wish, counting, watching
from scitq.lib.shapes import given, id_of
from scitq.lib.submitting import Submission
from scitq.lib.things import Task
from scitq.lib.verbs import TaskT, Verbs
from scitq.lib.waiting import Waiting, join

STATUSES: Final = (
    "paused",
    "waiting",
    "pending",
    "assigned",
    "accepted",
    "running",
    "failed",
    "succeeded",
    "debug",
)
"""The words for the numbers in which the server tells many statuses."""

Action = Literal["pause", "resume", "release", "relaunch", "delete"]
Uris = str | Iterable[object] | None


class Tasks(Verbs, Generic[TaskT]):
    """The part of `Server` that is about tasks."""

    @operation
    async def tasks(self, /, **filters: Any) -> list[TaskT]:
        """Tasks by id. Filters: task_id, status, batch, name (one or several of each), after, limit, reverse."""
        found: list[TaskT] = await self._get("/tasks/", Task, **filters)
        return found

    @iteration
    async def iter_tasks(self, /, **filters: Any) -> AsyncGenerator[TaskT, None]:
        """The same, one by one, however many there are: they are asked for a page at a time, as far as you come."""
        async with aclosing(self._pages("/tasks/", Task, "task_id", filters)) as found:
            async for task in found:
                yield task

    @change
    async def task_create(
        self,
        command: str,
        name: str | None = None,
        status: str | None = None,
        batch: str | None = None,
        input: Uris = None,
        output: object = None,
        container: str | None = None,
        container_options: str | None = None,
        resource: Uris = None,
        required_task_ids: Iterable[Any] | None = None,
        shell: bool | str = False,
        retry: int | None = None,
        download_timeout: int | None = None,
        run_timeout: int | None = None,
        use_cache: bool | None = None,
        asynchronous: bool | None = None,
        priority: int | None = None,
        silence_timeout: int | None = None,
        uid: int | str | None = None,
        gid: int | str | None = None,
    ) -> TaskT:
        """Submit a task. With `shell`, that shell (True: sh) runs the command; else its words are what is run.

        `uid`, `gid`: as whom it runs, by number or by a name that the worker knows.
        """
        task = portions.form(
            given(
                command=command, name=name, status=status, batch=batch, input=input, output=output,
                container=container, container_options=container_options, resource=resource,
                required_task_ids=None if required_task_ids is None else list(required_task_ids),
                shell=shell, retry=retry, download_timeout=download_timeout, run_timeout=run_timeout,
                use_cache=use_cache, priority=priority, silence_timeout=silence_timeout, uid=uid, gid=gid,
            )
        )  # fmt: skip
        created: TaskT = await self._write("POST", "/tasks/", task, Task)
        return created

    @change
    async def tasks_create(
        self, tasks: Iterable[Any], progress: Callable[[int], None] | bool | None = None
    ) -> list[int]:
        """Submit many tasks, and give their ids in the same order.

        Each is a dict of the arguments of `task_create`, or a dataclass with them. `required_task_ids` may hold -1,
        -2, … for the first, second, … task of the list, as far as it comes before. `tasks` may be a generator, and
        have millions of them: they go in portions, two at a time. PartlyDone says what was created when one fails.
        `progress` is told how many there are so far; without it, a terminal has a bar (True: also a log, False: none).
        """
        with counting(progress, len(tasks) if isinstance(tasks, Sized) else None) as tell:
            return await self._submitted(tasks, tell)

    async def _submitted(self, tasks: Iterable[Any], tell: Callable[[int], None] | None) -> list[int]:
        return await Submission(self._connection, tell).run(tasks)

    @operation
    async def task_get(self, id: Any) -> TaskT:
        """One task."""
        found: TaskT = await self._get(f"/tasks/{id_of(id)}", Task)
        return found

    @change
    async def task_update(
        self,
        id: Any,
        name: str | None = None,
        status: str | None = None,
        command: str | None = None,
        batch: str | None = None,
        input: Uris = None,
        output: object = None,
        container: str | None = None,
        container_options: str | None = None,
        resource: Uris = None,
        required_task_ids: Iterable[Any] | None = None,
        retry: int | None = None,
        download_timeout: int | None = None,
        run_timeout: int | None = None,
        use_cache: bool | None = None,
        asynchronous: bool | None = None,
        priority: int | None = None,
        silence_timeout: int | None = None,
        uid: int | str | None = None,
        gid: int | str | None = None,
    ) -> TaskT:
        """Change a task. `status`: pending relaunches, resumes or releases it, paused pauses it."""
        changes = portions.form(
            given(
                name=name, status=status, command=command, batch=batch, input=input, output=output,
                container=container, container_options=container_options, resource=resource,
                required_task_ids=None if required_task_ids is None else list(required_task_ids),
                retry=retry, download_timeout=download_timeout, run_timeout=run_timeout, use_cache=use_cache,
                priority=priority, silence_timeout=silence_timeout, uid=uid, gid=gid,
            )
        )  # fmt: skip
        changed: TaskT = await self._write("PUT", f"/tasks/{id_of(id)}", changes, Task)
        return changed

    @change
    async def task_delete(self, id: Any, asynchronous: bool | None = None) -> TaskT:
        """Delete a task; what it did stays in the log."""
        deleted: TaskT = await self._write("DELETE", f"/tasks/{id_of(id)}", thing=Task)
        return deleted

    @change
    async def tasks_action(self, action: Action, task_ids: Iterable[Any]) -> dict[int, str]:
        """Do the same to many tasks; the ids of those that refused it, with the reason. ServerError if all did."""
        return await self._act(action, [id_of(one) for one in task_ids])

    async def _act(self, action: Action, ids: list[int]) -> dict[int, str]:
        refused: dict[int, str] = {}
        for begin in range(0, len(ids), portions.MOST_TASKS):
            part = {"action": action, "task_ids": ids[begin : begin + portions.MOST_TASKS]}
            answer = (await self._connection.write("POST", "/tasks/actions", part)).content
            refused |= {int(id): str(why) for id, why in answer["refused"].items()}
        return refused

    @operation
    async def task_status(self, task_ids: Iterable[Any]) -> list[str]:
        """The status of each of these tasks, in this order."""
        return (await self._statuses([id_of(one) for one in task_ids]))[0]

    @operation
    async def wait(
        self,
        task_ids: Iterable[Any],
        timeout: float | None = None,
        on_progress: Wish = None,
    ) -> dict[int, str]:
        """Wait until each of these tasks has ended (succeeded, failed, deleted), and say how each stands.

        It is told by the server, so that it neither misses anything nor asks again and again. It also comes back
        after `timeout` seconds, or when all that is left waits for something that has failed: look at what it gives.
        `on_progress` is called with the statuses when some have changed; without it, a terminal has a bar (True: also
        lines in a log, False: nothing).
        """
        ids = [id_of(one) for one in task_ids]
        with watching(on_progress, len(ids)) as tell:
            return await Waiting(self, ids, tell).run(timeout)

    @operation
    async def join(
        self,
        task_list: Iterable[Any],
        retry: int = 1,
        check: bool = False,
        on_progress: Wish = None,
        timeout: float | None = None,
    ) -> dict[str, int]:
        """Wait for tasks, relaunching each that fails up to `retry` times; how many stand how in the end.

        `check`: raise TasksFailed when not all have succeeded. `on_progress`, `timeout`: as of `wait`.
        """
        return await join(self, [id_of(one) for one in task_list], retry, check, on_progress, timeout)

    @iteration
    async def events(
        self,
        since: int = 0,
        follow: bool = True,
        stream: str | None = None,
        type: str | None = None,
        timeout: float | None = None,
    ) -> AsyncGenerator[dict[str, Any], None]:
        """The log behind position `since`, event by event; to its end, or, with `follow`, for ever, or so many seconds.

        A broken connection is opened again where it broke: no event is missing, none comes twice. To go on another
        time, keep the `position` of the last event and give it as `since`.
        """
        source = Events(self._connection, stream=stream, type=type)
        if follow:
            end = None if timeout is None else time.monotonic() + timeout
            async with aclosing(source.run(since, end=end)) as log:
                async for some in log:
                    for event in some:
                        yield event
            return
        while found := await source.page(since):
            for event in found:
                yield event
            since = found[-1]["position"]

    async def _statuses(self, ids: list[int], wait_s: float | None = None) -> tuple[list[str], int]:
        """With the position of the log that all of them reflect at least."""
        found: list[str] = []
        position = None
        for begin in range(0, len(ids), portions.MOST_TASKS):
            asked = {"task_id": ids[begin : begin + portions.MOST_TASKS]}
            answer = await self._connection.read("/tasks/status", asked, wait_s)
            found.extend(STATUSES[number] for number in answer.content)
            position = answer.position if position is None else min(position, answer.position)
        return found, position or 0
