"""Commands that may run only for so long, or be silent only for so long, are ended by the agent itself, in time.

When a command started is known, so that a restart of the agent gives it no more. How long it has been silent is
counted from then on: an agent that was away does not know.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from scitq.agents import processes
from scitq.agents.runners import Runner
from scitq.agents.shim_client import GRACE_S
from scitq.domain.execution import Failure

AGAIN_S: Final = 5.0
"""A command that could not be ended is ended once more."""
LOOK_S: Final = 0.5


@dataclass(slots=True)
class _Watched:
    """One command that has limits."""

    timers: dict[str, asyncio.TimerHandle] = field(default_factory=dict)
    printed: int = -1
    since: float = 0.0  # it has not printed more


class Limits:
    """Those of one agent's commands. `texts` says which limits an execution has."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, runner: Runner, texts: Callable[[int], Mapping[str, Any]]
    ) -> None:
        self._loop, self._runner, self._texts = loop, runner, texts
        self._watched: dict[int, _Watched] = {}

    def watch(self, execution: int) -> None:
        """It runs. Said again, it changes nothing."""
        texts, started = self._texts(execution), self._runner.since(execution)
        if started is None or execution in self._watched:
            return
        run_s, silence_s = _seconds(texts, "run_timeout_s"), _seconds(texts, "silence_timeout_s")
        if run_s is None and silence_s is None:
            return
        self._watched[execution] = _Watched()
        if run_s is not None:
            left_s = run_s - (processes.now_in_ticks() - started) / processes.TICKS_A_SECOND
            why = f"it ran longer than {run_s:g} s, its run timeout"
            self._at(max(left_s, 0.0), execution, "run", self._end, execution, "run_timeout", why)
        if silence_s is not None:
            self._listen(execution, silence_s)

    def over(self, execution: int) -> None:
        """It has ended."""
        watched = self._watched.pop(execution, None)
        for timer in watched.timers.values() if watched is not None else ():
            timer.cancel()

    def close(self) -> None:
        for execution in list(self._watched):
            self.over(execution)

    def _at(self, seconds: float, execution: int, what: str, do: Callable[..., None], *args: Any) -> None:
        self._watched[execution].timers[what] = self._loop.call_later(seconds, do, *args)

    def _end(self, execution: int, failure: Failure, why: str) -> None:
        self._runner.kill(execution, GRACE_S, why, failure)
        self._at(AGAIN_S, execution, "end", self._end, execution, failure, why)

    def _listen(self, execution: int, silence_s: float) -> None:
        """By the length of what it has printed: a calendar may jump, and a command may set the times of its files."""
        watched, now = self._watched[execution], self._loop.time()
        printed = sum(_size(self._runner, execution, kind) for kind in ("out", "err"))
        if printed != watched.printed:
            watched.printed, watched.since = printed, now
        if now - watched.since >= silence_s:
            return self._end(
                execution, "silence_timeout", f"it printed nothing for {silence_s:g} s, its silence timeout"
            )
        self._at(min(LOOK_S, silence_s), execution, "silence", self._listen, execution, silence_s)


def _size(runner: Runner, execution: int, kind: str) -> int:
    try:
        return os.stat(runner.output(execution, kind)).st_size
    except FileNotFoundError:
        return 0


def _seconds(texts: Mapping[str, Any], name: str) -> float | None:
    value = texts.get(name)
    return value if isinstance(value, int | float) else None
