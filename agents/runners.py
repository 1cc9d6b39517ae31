"""What runs executions: the shim, or the container engine for tasks that name an image. To the agent they are one."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol

from scitq.agents.container_runner import ContainerRunner
from scitq.agents.core import Exit
from scitq.agents.shim_client import GRACE_S, ShimClient
from scitq.domain.execution import Failure
from scitq.errors import NotHere, Rejected


class Runner(Protocol):
    """The core's `Shim`, and what the rest of the agent asks."""

    def start(self, execution: int, task: int) -> None: ...
    def kill(
        self, execution: int, grace_s: float = GRACE_S, reason: str | None = None, failure: Failure | None = None
    ) -> None: ...
    def signal(self, execution: int, signal: int | str) -> None: ...
    def running(self) -> Iterable[int]: ...
    def ends(self) -> Iterable[Exit]: ...
    def started(self, execution: int) -> bool: ...
    def pid(self, execution: int) -> int | None: ...
    def since(self, execution: int) -> int | None:
        """When it started, in ticks since the machine did."""

    def output(self, execution: int, kind: str) -> Path:
        """Where its output is kept (`out`, `err`), until it is forgotten."""

    def forget(self, executions: Iterable[int]) -> None: ...


class Runners:
    """Each execution is with one of the two: whoever started it, else whom its task asks for."""

    def __init__(
        self,
        shim: ShimClient,
        containers: ContainerRunner,
        wants_container: Callable[[int], bool],
        on_refusal: Callable[[Exit], None],
    ) -> None:
        self._shim, self._containers, self._wants_container = shim, containers, wants_container
        self._on_refusal = on_refusal

    def of(self, execution: int) -> Runner:
        if self.in_container(execution):
            return self._containers
        return self._shim

    def in_container(self, execution: int) -> bool:
        if self._containers.started(execution):
            return True
        return self._wants_container(execution) and not self._shim.started(execution)

    def start(self, execution: int, task: int) -> None:
        """A task that cannot be run as it is has ended."""
        try:
            self.of(execution).start(execution, task)
        except NotHere as refusal:
            self._on_refusal(Exit(execution, None, str(refusal), time.time(), gives_back=True))
        except Rejected as refusal:
            self._on_refusal(Exit(execution, None, str(refusal), time.time(), "command_failed"))

    def kill(
        self, execution: int, grace_s: float = GRACE_S, reason: str | None = None, failure: Failure | None = None
    ) -> None:
        self.of(execution).kill(execution, grace_s, reason, failure)

    def signal(self, execution: int, signal: int | str) -> None:
        self.of(execution).signal(execution, signal)

    def running(self) -> Iterable[int]:
        return [*self._shim.running(), *self._containers.running()]

    def ends(self) -> Iterable[Exit]:
        return [*self._shim.ends(), *self._containers.ends()]

    def started(self, execution: int) -> bool:
        return self._shim.started(execution) or self._containers.started(execution)

    def pid(self, execution: int) -> int | None:
        return self.of(execution).pid(execution)

    def since(self, execution: int) -> int | None:
        return self.of(execution).since(execution)

    def output(self, execution: int, kind: str) -> Path:
        return self.of(execution).output(execution, kind)

    def forget(self, executions: Iterable[int]) -> None:
        contained = [execution for execution in executions if self._containers.started(execution)]
        if contained:
            self._containers.forget(contained)
        self._shim.forget([execution for execution in executions if execution not in contained])

    def flush(self) -> None:
        """Let the starts go that wait for it."""
        self._shim.flush()

    def leave(self) -> None:
        """The shim is not needed any more: it ends as soon as nothing runs."""
        self._shim.leave()

    def close(self) -> None:
        """Leave the commands to the shim, and the containers to their engine."""
        self._shim.close()
        self._containers.close()
