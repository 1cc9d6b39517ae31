"""Tasks whose agent is restarted again and again: each notes that it begins, and prints what is known beforehand."""

from __future__ import annotations

import hashlib
import shlex
import signal
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from typing import Any, Final

from tests.services.docker import IMAGE
from tests.services.scitq import Embedded, Process
from tests.services.waiting import eventually

LONG_S: Final = 300.0
ORDER: Final = 0
WAYS_TO_END: Final = (signal.SIGKILL, signal.SIGTERM, ORDER)
"""Killed, ended as by a service manager, told to start anew by the server."""
RESTART: Final = -2
ANEW: Final = "the worker starts anew"
# Both streams, in pieces; what a restart loses, doubles or cuts is seen.
SCRIPT: Final = """
echo begun >> {marks}/{name}
i=0; while [ $i -lt {lines} ]; do
    echo "$i of {name}"; echo "$i of {name}, as error" >&2; i=$((i+1)); sleep {pause}
done
"""


@dataclass(slots=True)
class Story:
    """What came of it: `outputs`, digests by the name of the task, and what is `wrong`."""

    restarts: int = 0
    outputs: dict[str, str] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)


class Restarted:
    """`container_options` besides what the tasks need."""

    def __init__(self, system: Embedded, marks: Path, slots: int = 8, lines: int = 15, pause: float = 0.1) -> None:
        self._system, self._marks, self._slots, self._lines, self._pause = system, marks, slots, lines, pause
        marks.mkdir()
        self._client = system.client()
        self._tasks: dict[str, int] = {}

    def play(self, native: int, contained: int, restarts: int) -> Story:
        story, agent = Story(), self._system.worker(self._slots)
        for name in [f"native-{number}" for number in range(native)]:
            self._tasks[name] = self._create(name, str(self._marks))
        for name in [f"docker-{number}" for number in range(contained)]:
            options = f"--network none -v {self._marks}:/marks"
            self._tasks[name] = self._create(name, "/marks", container=IMAGE, container_options=options)
        for share, number in zip(range(1, restarts + 1), cycle(WAYS_TO_END), strict=False):
            self._until_ended(len(self._tasks) * share // (restarts + 1))
            agent = self._restarted(agent, number)
            story.restarts += 1
        self._client.wait(list(self._tasks.values()), timeout=LONG_S)
        story.wrong = list(self._wrong(story))
        agent.end()
        return story

    def _create(self, name: str, marks: str, **properties: Any) -> int:
        script = SCRIPT.format(name=name, marks=marks, lines=self._lines, pause=self._pause)
        return int(self._client.task_create(f"sh -c {shlex.quote(script)}", name=name, **properties)["task_id"])

    def _until_ended(self, count: int) -> None:
        ids = list(self._tasks.values())

        def enough() -> bool:
            ended = [one for one in self._client.task_status(ids) if one in ("succeeded", "failed")]
            return len(ended) >= count

        eventually(enough, f"{count} tasks have ended", LONG_S)

    def _restarted(self, agent: Process, number: int) -> Process:
        if number == ORDER:
            before = agent.said().count(ANEW)
            (worker,) = self._client.workers()
            self._client.worker_create_signal(worker, None, RESTART)
            eventually(lambda: agent.said().count(ANEW) > before, "it obeys")
            return agent
        agent.kill() if number == signal.SIGKILL else agent.end(number)
        return self._system.worker(self._slots)

    def _wrong(self, story: Story) -> Iterator[str]:
        executions = self._client.executions(task_id=list(self._tasks.values()), no_output=True)
        of_task: dict[int, list[dict[str, Any]]] = {}
        for one in executions:
            of_task.setdefault(one["task_id"], []).append(one)
        for name, task in self._tasks.items():
            # One that was given back before it began was not run, and has cost no retry.
            attempts = [one for one in of_task.get(task, []) if one["status"] != "refused"]
            if [one["status"] for one in attempts] != ["succeeded"]:
                yield f"{name}: {[(one['status'], one['failure'], one['reason']) for one in attempts]}"
                continue
            mark = self._marks / name
            begun = mark.read_text().count("begun") if mark.exists() else 0
            if begun != 1:
                yield f"{name} began {begun} times"
            out, err = (
                b"".join(self._client.output(attempts[0]["execution_id"], stream)) for stream in ("stdout", "stderr")
            )
            story.outputs[name] = hashlib.sha256(out + b"\0" + err).hexdigest()
            if (out.decode(), err.decode()) != self._expected(name):
                yield f"{name} printed something else: {out!r:.300} {err!r:.300}"

    def _expected(self, name: str) -> tuple[str, str]:
        lines = [f"{number} of {name}" for number in range(self._lines)]
        return "".join(f"{one}\n" for one in lines), "".join(f"{one}, as error\n" for one in lines)
