"""Docker or podman on this machine, asked through the docker package, in a few threads that never wait for a task.

Nothing here takes longer than the engine needs for it; what waits for containers is in `engine_stream.py`. The engine
has to be on this machine, since tasks have their folders here.
"""

from __future__ import annotations

import asyncio
import getpass
import os
import socket as sockets
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

from scitq.agents.engine_stream import NotThere
from scitq.errors import EngineUnavailable, Rejected

if TYPE_CHECKING:
    import docker

T = TypeVar("T")
Json = dict[str, Any]

THREADS, LONG_THREADS = 8, 3
ANSWER_S: Final = 120
_SOCKETS: Final = (
    "/var/run/docker.sock", "{runtime}/docker.sock", "/run/podman/podman.sock", "{runtime}/podman/podman.sock"
)  # fmt: skip
INSTALL: Final = (
    "install one (Debian: apt-get install docker.io; or podman, and systemctl enable --now podman.socket) or name its "
    "socket in DOCKER_HOST=unix:///…"
)
INSTALL_PACKAGE: Final = "the Python package docker is not installed with scitq: pip install 'scitq[docker]'"
# Without a limit of ours that of the engine's settings would hold, and what a task printed early would be thrown away.
_LOG: Final = {"max-size": "16g", "max-file": "1", "compress": "false", "mode": "blocking"}


def find_socket(environ: Mapping[str, str] = os.environ) -> str:
    """Where the engine listens. EngineUnavailable, with what to do, when there is none that we may use."""
    named = environ.get("DOCKER_HOST", "")
    if named and not named.startswith("unix://"):
        raise EngineUnavailable(
            f"DOCKER_HOST is {named}, and tasks have their folders on this machine: name a socket of it, unix:///…"
        )
    for path in sockets_of(environ):
        if os.path.exists(path):
            if os.access(path, os.R_OK | os.W_OK):
                return path
            raise EngineUnavailable(
                f"{path} may not be used by {getpass.getuser()}: add the user to the socket's group"
                f" (usually: usermod -aG docker {getpass.getuser()}) and start the worker anew"
            )
    where = f"at {named}" if named else "on this machine"
    raise EngineUnavailable(f"there is no docker or podman engine {where}: {INSTALL}")


def sockets_of(environ: Mapping[str, str]) -> list[str]:
    """Where an engine may listen: where DOCKER_HOST says, else at the usual places."""
    named = environ.get("DOCKER_HOST", "")
    runtime = environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}"
    return [named.removeprefix("unix://")] if named else [path.format(runtime=runtime) for path in _SOCKETS]


class Engine:
    """One engine. Every method raises EngineUnavailable when it does not answer: later it may."""

    def __init__(self, socket: str, client: docker.APIClient, pool: ThreadPoolExecutor) -> None:
        self.socket, self._client, self._pool = socket, client, pool
        self._long_pool = ThreadPoolExecutor(LONG_THREADS, "image")
        self.prefix = f"/v{client.api_version}"
        version = client.version()
        self.is_podman = any("podman" in part["Name"].lower() for part in version.get("Components", ()))
        self.version = f"{'podman' if self.is_podman else 'docker'} {version.get('Version', '')}"
        self.root = str(client.info().get("DockerRootDir") or "/")
        """Where it keeps images, on this machine's disk."""

    @classmethod
    async def connect(cls, socket: str | None = None) -> Engine:
        """The one of this machine, or that at the socket."""
        try:
            import docker
        except ImportError as error:
            raise EngineUnavailable(INSTALL_PACKAGE) from error
        socket = socket or find_socket()
        pool = ThreadPoolExecutor(THREADS, "engine")

        def client() -> docker.APIClient:
            return docker.APIClient(base_url=f"unix://{socket}", version="auto", timeout=ANSWER_S)

        def begin() -> Engine:
            return cls(socket, client(), pool)

        try:
            return await _in_words(pool, socket, begin)
        except BaseException:
            pool.shutdown(wait=False)
            raise

    def close(self) -> None:
        """Containers live on."""
        for pool in (self._pool, self._long_pool):
            pool.shutdown(wait=False, cancel_futures=True)
        self._client.close()

    async def ask(self, question: Callable[[docker.APIClient], T], *, long: bool = False) -> T:
        """Whatever is not below; what is long must not keep the rest waiting."""
        pool = self._long_pool if long else self._pool
        return await _in_words(pool, self.socket, partial(question, self._client))

    async def create(self, name: str, body: Json, platform: str | None = None) -> str:
        """Make a container that does not run yet; the id. One that is there with that name and our labels is that one.

        Rejected when the engine will not have it so.
        """
        host = {**body.get("HostConfig", {})}
        if not self.is_podman:
            host["LogConfig"] = {"Type": "json-file", "Config": _LOG}
        body = {**body, "HostConfig": host}
        try:
            made: Json = await self.ask(partial(_create, body=body, name=name, platform=platform))
        except Refused as refusal:
            if refusal.status == 409:
                try:
                    there = await self.inspect(name)
                except NotThere:
                    raise EngineUnavailable(f"the container {name} is just being removed") from refusal
                if body.get("Labels", {}).items() <= (there["Config"].get("Labels") or {}).items():
                    return str(there["Id"])
            raise Rejected(f"the container cannot be made: {refusal}") from refusal
        return str(made["Id"])

    async def start(self, container: str) -> None:
        """Rejected when the engine cannot start it, most of the time since the program is not in the image."""
        try:
            await self.ask(lambda client: client.start(container))
        except Refused as refusal:
            raise Rejected(str(refusal)) from refusal

    async def send(self, container: str, signal: int | str) -> bool:
        """Send a signal; False when nobody was there to get it."""
        return await self._if_there(lambda client: client.kill(container, signal))

    async def pause(self, container: str) -> bool:
        return await self._if_there(lambda client: client.pause(container))

    async def resume(self, container: str) -> bool:
        return await self._if_there(lambda client: client.unpause(container))

    async def inspect(self, container: str) -> Json:
        """NotThere when there is none."""
        found: Json = await self.ask(lambda client: client.inspect_container(container))
        return found

    async def image(self, name: str) -> Json:
        """NotThere when there is none."""
        found: Json = await self.ask(partial(_image, name=name))
        return found

    async def remove_image(self, name: str) -> None:
        """Refused while a container is made of it; NotThere when it is gone."""
        await self.ask(lambda client: client.remove_image(name))

    async def containers(self, label: str) -> list[Json]:
        """Those with the label, in whatever state."""
        found: list[Json] = await self.ask(lambda client: client.containers(all=True, filters={"label": label}))
        return found

    async def remove(self, container: str) -> None:
        """With the volumes that nobody named. One that is gone already is well removed."""
        await self._if_there(lambda client: client.remove_container(container, v=True, force=True))

    async def _if_there(self, do: Callable[[docker.APIClient], object]) -> bool:
        try:
            await self.ask(do)
        except NotThere:
            return False
        except Refused as refusal:
            if refusal.status in (304, 409) or "paused" in str(
                refusal
            ):  # it does not run, is being removed, is (not) held
                return False
            raise EngineUnavailable(f"the container engine refuses: {refusal}") from refusal
        return True


def _create(client: Any, *, body: Json, name: str, platform: str | None) -> Json:  # the stubs leave it without types
    made: Json = client.create_container_from_config(body, name, platform)
    return made


def _image(client: Any, *, name: str) -> Json:
    found: Json = client.inspect_image(name)
    return found


class Refused(Exception):
    """The engine answered that it will not; the text says why, in its words."""

    def __init__(self, status: int, explanation: str) -> None:
        self.status = status
        super().__init__(" ".join(explanation.split()))


def knock(socket: str, answer_s: float = ANSWER_S) -> None:
    """Nobody at home is seen sooner, and said better, than by the docker package, which then leaves a socket open."""
    with sockets.socket(sockets.AF_UNIX) as one:
        one.settimeout(answer_s)
        try:
            one.connect(socket)
        except FileNotFoundError:
            raise EngineUnavailable(f"there is no docker or podman engine at {socket}: {INSTALL}") from None
        except OSError as error:
            raise EngineUnavailable(f"the container engine at {socket} does not answer: {error}") from error


async def _in_words(pool: ThreadPoolExecutor, socket: str, do: Callable[[], T]) -> T:
    """In a thread of the pool, and what goes wrong as one of our errors."""
    try:
        return await asyncio.get_running_loop().run_in_executor(pool, partial(_translated, socket, do))
    except RuntimeError as error:  # the pool was shut down
        raise EngineUnavailable(f"the container engine is not asked any more: {error}") from error


def _translated(socket: str, do: Callable[[], T]) -> T:
    """What it gives; what the docker package raises becomes Refused, NotThere or EngineUnavailable."""
    knock(socket)
    import requests
    from docker.errors import APIError, DockerException, NotFound

    try:
        return do()
    except NotFound as error:
        raise NotThere(error.explanation) from error
    except APIError as error:
        raise Refused(error.status_code or 500, str(error.explanation or error)) from error
    except (DockerException, requests.RequestException, OSError) as error:
        reason = " ".join(str(error).split())
        raise EngineUnavailable(f"the container engine does not answer: {reason[:300]}") from error
