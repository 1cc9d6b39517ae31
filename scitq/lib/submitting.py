"""Submitting many tasks: portion by portion, two on their way at a time, each of them done once."""

from __future__ import annotations

import uuid
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final

from scitq.errors import PartlyDone, ScitqError
from scitq.lib.connection import Connection
from scitq.lib.portions import Portion, portions

IN_FLIGHT: Final = 2

Progress = Callable[[int], None]
"""Told how many tasks have been created so far."""


class Submission:
    """One list of tasks on its way."""

    def __init__(self, connection: Connection, progress: Progress | None) -> None:
        self._connection, self._progress = connection, progress
        self._key = uuid.uuid4().hex
        self._flying: deque[tuple[Portion, Future[list[int]]]] = deque()
        self.ids: list[int] = []
        self.later: dict[int, int] = {}  # created, though something before them was not

    def run(self, tasks: Iterable[Any]) -> list[int]:
        with ThreadPoolExecutor(IN_FLIGHT, "scitq-submit") as pool:
            try:
                for portion in portions(tasks, self._id_at):
                    while len(self._flying) >= IN_FLIGHT:
                        self._land()
                    self._flying.append((portion, pool.submit(self._send, portion)))
                while self._flying:
                    self._land()
            except BaseException as error:
                self._land_the_rest()
                created = dict(enumerate(self.ids)) | self.later
                if created and isinstance(error, ScitqError):
                    raise PartlyDone(created, str(error)) from error
                if created:
                    error.add_note(f"{len(created)} tasks had been created")
                raise
        return self.ids

    def _send(self, portion: Portion) -> list[int]:
        # From the list's id and the portion's place: sent again, it is the same command.
        answer = self._connection.write("POST", "/tasks/bulk", portion.body, key=f"{self._key}.{portion.first}")
        found: list[int] = answer.content["task_ids"]
        return found

    def _land(self) -> None:
        _, future = self._flying.popleft()
        self.ids.extend(future.result())
        if self._progress is not None:
            self._progress(len(self.ids))

    def _land_the_rest(self) -> None:
        for portion, future in self._flying:
            if not future.cancel() and future.exception() is None:
                self.later |= dict(enumerate(future.result(), portion.first))

    def _id_at(self, number: int) -> int:
        while number >= len(self.ids):
            self._land()
        return self.ids[number]
