"""Tasks of which everything is known beforehand: what each does, once, and what it prints."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Final

from tests.e2e.real import Real
from tests.services.waiting import eventually

STUCK_S: Final = 90.0


class Load:
    """Tasks that each add one line to a file of their own and print what is known; as many wait as keep it busy."""

    PORTION: Final = 20
    AHEAD: Final = 60
    LINES: Final = 20

    def __init__(self, real: Real, name: str, tasks: int, chance: random.Random, nap_s: float = 0.3) -> None:
        self._real, self.name, self.tasks = real, name, tasks
        self._effects = real.folder / name
        self._effects.mkdir()
        self._naps = [chance.uniform(0, nap_s) for _ in range(tasks)]
        self.ids: list[int] = []
        self._failure: BaseException | None = None
        self._submitting = threading.Thread(target=self._run, daemon=True)
        self._submitting.start()

    def _run(self) -> None:
        try:
            self._submit()
        except BaseException as failure:
            self._failure = failure

    def _submit(self) -> None:
        for first in range(0, self.tasks, self.PORTION):
            self.reach(first - self.AHEAD)
            portion = range(first, min(first + self.PORTION, self.tasks))
            self.ids += self._real.patient.tasks_create(self._spec(number) for number in portion)

    def _spec(self, number: int) -> dict[str, Any]:
        command = (
            f"i=0; while [ $i -lt {self.LINES} ]; do echo '{self._called(number)} äöü '$i; i=$((i+1)); done; "
            f"echo '{self._called(number)} done' >&2; sleep {self._naps[number]:.3f}; "
            f"echo {number} >> {self._effects}/{number}"
        )
        return {"command": command, "shell": True, "name": self._called(number)}

    def _called(self, number: int) -> str:
        return f"{self.name}-{number}"

    @property
    def done(self) -> int:
        return len(list(self._effects.iterdir()))

    def reach(self, count: int) -> None:
        try:
            eventually(lambda: self._failure or self.done >= count, f"{count} of {self.tasks} tasks go on", STUCK_S)
        except AssertionError as error:
            raise AssertionError(self._real.standing()) from error
        if self._failure is not None:
            raise self._failure

    def _expected(self, number: int) -> dict[str, str]:
        name = self._called(number)
        stdout = "".join(f"{name} äöü {line}\n" for line in range(self.LINES))
        return {"output": stdout, "error": f"{name} done\n"}

    def _printed(self) -> dict[int, dict[str, Any]]:
        """The latest execution of each task. What was lost of their output is sent again some seconds later."""
        found: dict[int, dict[str, Any]] = {}

        def is_there() -> bool:
            found.update((one["task_id"], one) for one in self._real.patient.executions(task_id=self.ids, latest=True))
            return all(
                found[id][kind] == text
                for number, id in enumerate(self.ids)
                for kind, text in self._expected(number).items()
            )

        with suppress(AssertionError):  # `wrong` says which
            eventually(is_there, "all that was printed is there", STUCK_S)
        return found

    def wrong(self) -> Iterator[str]:
        """When all of it has ended: what is not as it must be."""
        self.reach(self.tasks)
        self._submitting.join()
        statuses = self._real.patient.wait(self.ids, timeout=240)
        if len(set(self.ids)) != self.tasks or self.done != self.tasks:
            yield f"{self.tasks} tasks, {len(set(self.ids))} ids, {self.done} effects"
        executions = self._printed()
        for number, id in enumerate(self.ids):
            if statuses[id] != "succeeded":
                yield f"task {id} is {statuses[id]}"
            effect = self._effects / str(number)
            if not effect.exists() or effect.read_text() != f"{number}\n":
                yield f"task {id} had its effect {len(effect.read_text().split()) if effect.exists() else 0} times"
            for kind, expected in self._expected(number).items():
                if (found := executions[id][kind]) != expected:
                    yield f"{kind} of task {id} is {found!r}"
