"""A machine that costs money ends itself when its server is gone for good: what is done is saved, then it powers off.

    server away for so long → nothing new is started → what runs ends by itself → all of it goes to PREFIX → power off
    PREFIX/<worker>/<execution>/   end.json, out, err, and output/ with what the task made

Time is that since the machine was started, so that no step of the calendar sets it off. A server that comes back in
time is worked for as if nothing had been; what was saved by then is there twice.
"""

from __future__ import annotations

import asyncio
import logging
import shlex
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from scitq.agents.work import Work
from scitq.domain.execution import Failed, Succeeded
from scitq.fetch import FetchError, put

log = logging.getLogger(__name__)

LOOKS: Final = 20
"""So often it is looked whether the server is there, in the time that it may be away."""
LONGEST_LOOK_S: Final = 30.0
COMMAND: Final = "systemctl poweroff"


@dataclass(frozen=True, slots=True)
class DeadMan:
    """`after_s` without a server; `to`: a URI of a folder, or None when nothing is to be saved."""

    after_s: float
    to: str | None = None
    command: str = COMMAND


class Watchman:
    """Looks after one worker, `name`. `is_there` says whether its server is."""

    def __init__(self, settings: DeadMan, work: Work, name: str, is_there: Callable[[], bool]) -> None:
        self._settings, self._work, self._name, self._is_there = settings, work, name, is_there
        self._look_s = min(settings.after_s / LOOKS, LONGEST_LOOK_S)
        self._saved: set[int] = set()

    async def run(self) -> None:
        """Until the machine goes down. A command that does not do that is tried again after the same time."""
        while True:
            await self._until_gone()
            log.warning("the server is gone for good: this worker saves what it has, and ends its machine")
            self._work.rest(True)
            try:
                if await self._all_is_saved() and not self._is_there():
                    await asyncio.to_thread(self._power_off)
            except Exception:  # the outermost loop: a machine that costs money must not stay for it
                log.exception("saving broke down; it is tried again")
            self._work.rest(False)

    async def _until_gone(self) -> None:
        heard = _now()
        while _now() - heard < self._settings.after_s:
            await asyncio.sleep(self._look_s)
            if self._is_there():
                heard = _now()

    async def _all_is_saved(self) -> bool:
        """False when the server has come back before. What cannot be saved is tried until the time has passed again."""
        began: float | None = None
        while not self._is_there():
            if not list(self._work.runners.running()):
                began = _now() if began is None else began
                if await asyncio.to_thread(self._save, self._unsaved()) or _now() - began > self._settings.after_s:
                    return True
            await asyncio.sleep(self._look_s)
        log.info("the server is there again, and this worker goes on")
        return False

    def _unsaved(self) -> dict[int, dict[str, Any]]:
        """How those ended that the server has not confirmed, and that are not saved."""
        if self._settings.to is None:
            return {}
        spool, told = self._work.spool, dict[int, dict[str, Any]]()
        ends = {one.execution: asdict(one) for one in spool.reports.values() if isinstance(one, Succeeded | Failed)}
        ends |= {execution: asdict(one) for execution, one in spool.exited.items()}
        for execution, one in self._work.agent.over.items():  # how much it printed is told when it can be sent
            ends[execution] = {"return_code": one.code, "reason": one.reason, "failure": one.failure, "used": one.used}
        for execution in ends.keys() - self._saved:
            given = spool.given.get(execution)
            texts = {} if given is None else dict(given.texts or {})
            about = {"worker": self._name, "task": None if given is None else given.task, "execution": execution}
            told[execution] = {**about, "return_code": 0, "failure": None, **ends[execution], "texts": texts}
        return told

    def _save(self, unsaved: Mapping[int, dict[str, Any]]) -> bool:
        """In a thread. True when all of them are saved."""
        for execution, told in unsaved.items():
            if not self._save_one(execution, told):
                return False
            self._saved.add(execution)
        return True

    def _save_one(self, execution: int, told: dict[str, Any]) -> bool:
        place = f"{str(self._settings.to).rstrip('/')}/{self._name}/{execution}"
        try:
            with tempfile.TemporaryDirectory() as folder:
                Path(folder, "end.json").write_bytes(orjson.dumps(told, option=orjson.OPT_INDENT_2))
                put(f"{folder}/end.json", f"{place}/end.json")
            for kind in ("out", "err"):
                path = self._work.runners.output(execution, kind)
                if path.exists():
                    put(str(path), f"{place}/{kind}")
            made = Path(self._work.workshop.base, str(execution), "output")
            if made.is_dir() and any(made.iterdir()):
                put(f"{made}/", f"{place}/output/")
        except (FetchError, OSError) as error:
            log.error("what a task made cannot be saved", extra={"execution": execution, "error": str(error)})
            return False
        log.info("what a task made is saved", extra={"execution": execution, "to": place})
        return True

    def _power_off(self) -> None:
        log.warning("the machine is ended", extra={"command": self._settings.command})
        try:
            done = subprocess.run(shlex.split(self._settings.command), capture_output=True, text=True, check=False)
        except (OSError, ValueError) as error:
            log.error("the machine cannot be ended", extra={"error": str(error)})
            return
        if done.returncode != 0:
            log.error("the machine cannot be ended", extra={"code": done.returncode, "said": done.stderr[-1_000:]})


def _now() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)
