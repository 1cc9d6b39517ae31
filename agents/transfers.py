"""What a command needs is fetched before it starts, and what it made is stored after it ended: the core's `Stores`.

Each transfer has a thread while it lasts; what it comes to is told in the agent's loop. A transfer that is dropped ends
within moments, and nobody hears of it.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import CancelledError as FutureCancelled
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, Literal, Protocol

from scitq.agents.processes import boot_id
from scitq.agents.resources import Moved, Resources, fetch_into
from scitq.agents.workshop import HAS_ALL
from scitq.domain.execution import Failure
from scitq.errors import AgentError, ImageUnavailable, NotHere, Rejected
from scitq.fetch import Cancellation, Cancelled, FetchError, Progress, put

log = logging.getLogger(__name__)

AT_ONCE: Final = 8
"""Executions that fetch, and as many that send: each has files of its own that move side by side."""


What = Literal["downloading", "uploading"]
FAILURES: Final[dict[What, Failure]] = {"downloading": "download_failed", "uploading": "upload_failed"}


@dataclass(slots=True)
class Underway:
    """One transfer: what it is for, and how far it is, which is telemetry."""

    what: What
    texts: Mapping[str, Any]
    folder: str
    cancellation: Cancellation = field(default_factory=Cancellation)
    progress: Progress | None = None
    image: tuple[int, int] | None = None  # bytes of it, done and in all
    part: int = 1
    """Of several URIs, the one that is fetched now."""
    parts: int = 1
    limit: asyncio.TimerHandle | None = None


class Hears(Protocol):
    """Who is told what comes of transfers."""

    def on_ready(self, execution: int, files: int, bytes: int) -> None: ...
    def on_sent(self, execution: int, files: int, bytes: int) -> None: ...
    def on_no_transfer(self, execution: int, failure: Failure | None, reason: str) -> None:
        """Without a failure this machine is to blame."""

    def on_idle(self, execution: int) -> None:
        """No thread works for it any more; also for one that was dropped."""


class Transfers:
    """Those of one agent. `texts` says what an execution is to have, `folder` makes the folder for it; `image` sees to
    it that the image of one in a container is here."""

    def __init__(
        self,
        resources: Resources,
        texts: Callable[[int], Mapping[str, Any]],
        folder: Callable[[int], str],
        image: Callable[[int], Coroutine[Any, Any, None]],
    ) -> None:
        self.resources, self._texts, self._folder, self._image = resources, texts, folder, image
        self.underway: dict[int, Underway] = {}
        self._pools = {what: ThreadPoolExecutor(AT_ONCE, what) for what in FAILURES}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._hears: Hears | None = None

    def watch(self, loop: asyncio.AbstractEventLoop, hears: Hears) -> None:
        """From now on what comes of it is told, in this loop."""
        self._loop, self._hears = loop, hears

    # The core's Stores ---------------------------------------------------------------------------------------------

    def fetches(self, execution: int) -> bool:
        texts = self._texts(execution)
        return bool(texts.get("input") or texts.get("resource") or texts.get("container"))

    def sends(self, execution: int) -> bool:
        return bool(self._texts(execution).get("output")) and _has_any(f"{self._folder(execution)}/output")

    def prepare(self, execution: int) -> None:
        underway = self._begin(execution, "downloading", self._prepare)
        limit_s = underway.texts.get("download_timeout_s")
        if isinstance(limit_s, int | float) and self._loop is not None:
            underway.limit = self._loop.call_later(limit_s, self._too_late, execution, limit_s)

    def has_all(self, execution: int) -> bool:
        try:
            with open(f"{self._folder(execution)}/{HAS_ALL}") as file:
                return file.read() == boot_id()
        except OSError:
            return False

    def send(self, execution: int) -> None:
        self._begin(execution, "uploading", self._send)

    def drop(self, execution: int) -> None:
        underway = self.underway.pop(execution, None)
        if underway is not None:
            self._ended(underway)
            underway.cancellation.cancel()

    def on_image(self, execution: int, done: int, total: int) -> None:
        """So many bytes of its image have come."""
        underway = self.underway.get(execution)
        if underway is not None:
            underway.image = done, total

    def let_go(self, execution: int) -> None:
        """It is over: the resources it had may make room."""
        self.resources.let_go(execution)

    def close(self) -> None:
        """Whoever comes next begins anew with what is not done."""
        for execution in list(self.underway):
            self.drop(execution)
        for pool in self._pools.values():
            pool.shutdown(wait=False, cancel_futures=True)

    # How it goes ---------------------------------------------------------------------------------------------------

    def _begin(self, execution: int, what: What, work: Callable[[int, Underway], Moved]) -> Underway:
        assert self._hears is not None
        underway = Underway(what, self._texts(execution), self._folder(execution))
        self.underway[execution] = underway
        self._pools[what].submit(self._whole, work, execution, underway)
        return underway

    def _too_late(self, execution: int, limit_s: float) -> None:
        assert self._hears is not None
        self.drop(execution)
        reason = f"its inputs took longer than {limit_s:g} s, its download timeout"
        self._hears.on_no_transfer(execution, "download_timeout", reason)

    @staticmethod
    def _ended(underway: Underway) -> None:
        if underway.limit is not None:
            underway.limit.cancel()

    def _whole(self, work: Callable[[int, Underway], Moved], execution: int, underway: Underway) -> None:
        """In a thread of the pool. All that can go wrong is told: an execution must not wait for ever."""
        assert self._hears is not None
        hears, failed = self._hears, FAILURES[underway.what]
        done: Callable[[], None] | None = None
        try:
            underway.cancellation.check()
            moved = work(execution, underway)
        except Cancelled:
            pass
        except FetchError as error:
            done = partial(hears.on_no_transfer, execution, failed, str(error))
        except ImageUnavailable as error:
            done = partial(hears.on_no_transfer, execution, "image_failed", str(error))
        except NotHere as error:
            done = partial(hears.on_no_transfer, execution, None, str(error))
        except Rejected as error:  # its container cannot be made as the task says
            done = partial(hears.on_no_transfer, execution, "command_failed", str(error))
        except AgentError as error:
            done = partial(hears.on_no_transfer, execution, None, str(error))
        except OSError as error:
            reason = f"{error.strerror}: {error.filename}" if error.filename else str(error)
            done = partial(hears.on_no_transfer, execution, failed, reason)
        except Exception as error:  # the outermost loop of this thread
            log.exception("a transfer broke down", extra={"execution": execution})
            reason = f"the agent stumbled over it: {type(error).__name__}: {error}"
            done = partial(hears.on_no_transfer, execution, failed, reason)
        else:
            tell = hears.on_ready if underway.what == "downloading" else hears.on_sent
            done = partial(tell, execution, moved.files, moved.bytes)
        self._tell(execution, underway, done)

    def _tell(self, execution: int, underway: Underway, done: Callable[[], None] | None) -> None:
        def tell() -> None:
            assert self._hears is not None
            if self.underway.get(execution) is underway:  # else it was dropped meanwhile
                del self.underway[execution]
                self._ended(underway)
                if done is not None:
                    done()
            self._hears.on_idle(execution)

        assert self._loop is not None
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(tell)

    def _prepare(self, execution: int, underway: Underway) -> Moved:
        texts, folder, moved = underway.texts, underway.folder, Moved()
        note = partial(_note, underway)
        inputs, resources = _uris(texts.get("input")), _uris(texts.get("resource"))
        underway.part, underway.parts = 0, len(inputs) + len(resources)
        if texts.get("container"):
            self._wait_for_image(execution, underway)
            underway.image = None
        for uri in inputs:
            _next_part(underway)
            moved = _sum(moved, fetch_into(uri, f"{folder}/input", underway.cancellation, note))
        for uri in resources:  # in order: a later one replaces files of an earlier one
            _next_part(underway)
            got = self.resources.link(uri, f"{folder}/resource", execution, underway.cancellation, note)
            moved = _sum(moved, got)
        with open(f"{folder}/{HAS_ALL}", "w") as file:
            file.write(boot_id())  # not known to be on the disk: what a power cut takes is fetched again
        return moved

    def _wait_for_image(self, execution: int, underway: Underway) -> None:
        assert self._loop is not None
        coming = asyncio.run_coroutine_threadsafe(self._image(execution), self._loop)
        with underway.cancellation.cutting(coming.cancel):
            try:
                coming.result()
            except FutureCancelled:
                raise Cancelled("its image is not wanted any more") from None

    def _send(self, execution: int, underway: Underway) -> Moved:
        uri = str(underway.texts["output"])
        if underway.texts.get("user") and os.path.islink(f"{underway.folder}/output"):
            raise FetchError("its output folder was made a link: what that leads to need not be its user's to read")
        note = partial(_note, underway)
        put(f"{underway.folder}/output/", uri, progress=note, cancellation=underway.cancellation)
        last = underway.progress
        return Moved(last.done_files, last.done_bytes) if last is not None else Moved()


def _note(underway: Underway, progress: Progress) -> None:
    underway.progress = progress


def _next_part(underway: Underway) -> None:
    underway.progress = None
    underway.part += 1


def _uris(text: Any) -> list[str]:
    return text.split() if isinstance(text, str) else []


def _sum(one: Moved, other: Moved) -> Moved:
    return Moved(one.files + other.files, one.bytes + other.bytes)


def _has_any(folder: str) -> bool:
    try:
        with os.scandir(folder) as entries:
            return any(True for _ in entries)
    except OSError:  # the command has removed it
        return False
