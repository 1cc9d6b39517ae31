"""Images: fetched once however many tasks want them, with progress, retries and the usual docker login.

Whoever did `docker login` as the worker's user needs to tell us nothing: the docker package reads the same files
(`~/.docker/config.json`, or in DOCKER_CONFIG) and asks the same credential helpers, anew for each image.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from scitq.agents.container_engine import Engine, Refused
from scitq.agents.engine_stream import NotThere
from scitq.agents.image_cache import ImageCache
from scitq.errors import EngineUnavailable, ImageUnavailable

if TYPE_CHECKING:
    import docker

log = logging.getLogger(__name__)

TRIES: Final = 4
AGAIN_S: Final = 1.0
"""Before the second try; each later one waits four times as long."""
_FINAL: Final = ("not found", "manifest unknown", "access denied", "unauthorized", "no basic auth", "invalid reference",
                 "no matching manifest", "name unknown", "denied:", "HTTP response to HTTPS client")  # fmt: skip
Progress = Callable[[int, int], None]


@dataclass(slots=True)
class _Pull:
    """One that is under way, and who waits for it."""

    work: asyncio.Task[None]
    heard: list[Progress]
    stop: threading.Event
    waiting: int = 0


class Images:
    """Of one engine."""

    def __init__(self, engine: Engine, cache: ImageCache | None = None, *, again_s: float = AGAIN_S) -> None:
        self._engine, self._cache, self._again_s = engine, cache, again_s
        self._pulls: dict[tuple[str, str | None], _Pull] = {}

    async def get(self, name: str, policy: str = "missing", platform: str | None = None,
                  progress: Progress = lambda done, total: None) -> str:  # fmt: skip
        """See to it that the image is here; what it is exactly: `repository@sha256:…`, or its id if it is from nowhere.

        `policy` as with `docker run --pull`; `progress` is told bytes, done and in all as far as that is known yet.
        """
        if not name.strip():
            raise ImageUnavailable("the task names no image for its container")
        if policy != "always":
            with_it = await self.exactly(name, name)
            if with_it is not None:
                if self._cache is not None:
                    self._cache.used(name)
                return with_it
            if policy == "never":
                raise ImageUnavailable(f"the image {name} is not on this machine, and --pull never was asked for")
        await self._share(name, platform, progress)
        found = await self.exactly(name, name)
        if found is None:
            raise ImageUnavailable(f"the image {name} was fetched, and is not on this machine any more")
        return found

    async def exactly(self, name: str, id: str) -> str | None:
        """The image with that id or name, by its digest at the place that `name` speaks of; None if it is not here."""
        try:
            image: dict[str, Any] = await self._engine.image(id)
        except NotThere:
            return None
        except Refused as error:
            raise ImageUnavailable(f"{name[:200]!r} is not the name of an image: {error}") from error
        repository = name.partition("@")[0]
        if ":" in repository.rpartition("/")[2]:
            repository = repository.rpartition(":")[0]
        digests = [str(one) for one in image.get("RepoDigests") or ()]
        return next((one for one in digests if one.startswith(f"{repository}@")), next(iter(digests), str(image["Id"])))

    async def _share(self, name: str, platform: str | None, progress: Progress) -> None:
        """Wait for the one pull of it; the last who gives up waiting ends it."""
        key = (name, platform)
        pull = self._pulls.get(key)
        if pull is None:
            stop, heard = threading.Event(), list[Progress]()
            work = asyncio.create_task(self._pull(name, platform, heard, stop))
            pull = self._pulls[key] = _Pull(work, heard, stop)
            work.add_done_callback(lambda _: self._pulls.pop(key, None))
        pull.waiting += 1
        pull.heard.append(progress)
        try:
            await asyncio.shield(pull.work)
        finally:
            pull.waiting -= 1
            pull.heard.remove(progress)
            if not pull.waiting and not pull.work.done():
                pull.stop.set()
                pull.work.cancel()
                self._pulls.pop(key, None)

    async def _pull(self, name: str, platform: str | None, heard: list[Progress], stop: threading.Event) -> None:
        loop, wait_s = asyncio.get_running_loop(), self._again_s

        def told(done: int, total: int) -> None:
            for one in list(heard):
                one(done, total)

        def tell(done: int, total: int) -> None:
            loop.call_soon_threadsafe(told, done, total)

        for attempt in range(1, TRIES + 1):
            try:
                await self._engine.ask(lambda client: _fetch(client, name, platform, stop, tell), long=True)
                if self._cache is not None:
                    self._cache.fetched(name)
                return
            except (Refused, NotThere, EngineUnavailable) as error:
                if attempt == TRIES or any(word.lower() in str(error).lower() for word in _FINAL):
                    raise ImageUnavailable(_sentence(name, str(error))) from error
                extra = {"image": name, "error": str(error)}
                log.warning("an image cannot be fetched yet; it is tried again", extra=extra)
            await asyncio.sleep(wait_s)
            wait_s *= 4


def _fetch(client: docker.APIClient, name: str, platform: str | None, stop: threading.Event, tell: Progress) -> None:
    """In a thread, up to the end of the download. The engine ends it when the answer is read no more."""
    client.reload_config()  # somebody may have logged in since
    layers: dict[str, tuple[int, int]] = {}
    answer = client.pull(name, stream=True, decode=True, platform=platform)
    try:
        for said in answer:
            if stop.is_set():
                return
            if "error" in said:
                raise Refused(500, str(said["error"]))
            detail = said.get("progressDetail") or {}
            if said.get("status") in ("Downloading", "Download complete") and "id" in said:
                before = layers.get(said["id"], (0, 0))
                total = int(detail.get("total", before[1]))
                layers[said["id"]] = int(detail.get("current", total)), total
                tell(sum(done for done, _ in layers.values()), sum(total for _, total in layers.values()))
    finally:
        answer.close()


def _sentence(name: str, reason: str) -> str:
    hints = {
        "HTTP response to HTTPS client": "its registry has no TLS: name it in insecure-registries of the engine's"
        " settings (/etc/docker/daemon.json)",
        "no basic auth": "its registry wants a password: docker login, as the worker's user",
        "unauthorized": "its registry does not take the password: docker login, as the worker's user",
        "access denied": "there is no such image, or one must log in to see it: docker login, as the worker's user",
    }
    hint = next((hint for word, hint in hints.items() if word.lower() in reason.lower()), None)
    return f"the image {name} cannot be had: {hint or reason}" + (f" ({reason})" if hint else "")
