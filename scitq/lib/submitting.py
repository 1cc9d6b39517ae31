"""Submitting many tasks: portion by portion, two on their way at a time, each of them done once."""

from __future__ import annotations

import uuid
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import aclosing
from typing import Any, Final

from scitq.errors import PartlyDone, ScitqError
from scitq.lib.connection import Connection
from scitq.lib.line import Crew, Job
from scitq.lib.portions import Portion, portions

IN_FLIGHT: Final = 2

Progress = Callable[[int], None]
"""Told how many tasks have been created so far."""


class Submission:
    """One list of tasks on its way."""

    def __init__(self, connection: Connection, progress: Progress | None) -> None:
        self._connection, self._progress = connection, progress
        self._key = uuid.uuid4().hex
        self._flying: deque[tuple[Portion, Job[list[int]]]] = deque()
        self.ids: list[int] = []
        self.later: dict[int, int] = {}  # created, though something before them was not

    async def run(self, tasks: Iterable[Any]) -> list[int]:
        async with self._connection.crew(IN_FLIGHT) as crew:
            try:
                await self._run(tasks, crew)
            except BaseException as error:
                await self._land_the_rest(drop=not isinstance(error, Exception))
                created = dict(enumerate(self.ids)) | self.later
                if created and isinstance(error, ScitqError):
                    raise PartlyDone(created, str(error)) from error
                if created:
                    error.add_note(f"{len(created)} tasks had been created")
                raise
        return self.ids

    async def _run(self, tasks: Iterable[Any], crew: Crew) -> None:
        async with aclosing(portions(tasks, self._id_at)) as cut:
            async for portion in cut:
                while len(self._flying) >= IN_FLIGHT:
                    await self._land()
                self._flying.append((portion, crew.start(self._send, portion)))
        while self._flying:
            await self._land()

    async def _send(self, portion: Portion) -> list[int]:
        # From the list's id and the portion's place: sent again, it is the same command.
        key = f"{self._key}.{portion.first}"
        answer = await self._connection.write("POST", "/tasks/bulk", portion.body, key=key)
        found: list[int] = answer.content["task_ids"]
        return found

    async def _land(self) -> None:
        _, job = self._flying.popleft()
        self.ids.extend(await job.result())
        if self._progress is not None:
            self._progress(len(self.ids))

    async def _land_the_rest(self, drop: bool) -> None:
        for portion, job in self._flying:
            self.later |= dict(enumerate(await job.settled(drop) or (), portion.first))

    async def _id_at(self, number: int) -> int:
        while number >= len(self.ids):
            await self._land()
        return self.ids[number]
