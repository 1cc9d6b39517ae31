"""Docker or podman: whether it is here and may be used, and whether a task's folder can be seen in a container of it.

That is tried, with an image without content that is made on the spot, so that nothing is fetched: the programs in it
are this machine's own, mounted to be read.
"""

from __future__ import annotations

import io
import os
import secrets
import tarfile
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

from scitq.agents.container_engine import INSTALL_PACKAGE, find_socket, knock, sockets_of
from scitq.agents.doctor import Finding, absent, broken, good
from scitq.agents.doctor_folders import existing, size
from scitq.errors import EngineUnavailable

if TYPE_CHECKING:
    import docker

ANSWER_S, RUN_S = 5, 30
START: Final = "start it (systemctl start docker, or podman.socket)"
NAME: Final = "scitq-doctor"
_OURS: Final = ("/bin", "/lib", "/lib64", "/usr")
_SAYS: Final = "seen from inside"
_WRITES: Final = "printf '{}' > /output/file"


def containers(base: Path, environ: Mapping[str, str] = os.environ) -> Iterator[Finding]:
    """`base`: where tasks have their folders."""
    missing = not _has_package()
    if missing:
        yield absent(INSTALL_PACKAGE)
    try:
        socket = find_socket(environ)
    except EngineUnavailable as error:
        is_here = environ.get("DOCKER_HOST") or any(map(os.path.exists, sockets_of(environ)))
        yield broken(str(error)) if is_here else absent(f"{error}; only tasks with a container need it")
        return
    if not missing:
        yield from _asked(socket, existing(base))


def _has_package() -> bool:
    try:
        import_module("docker")
    except ImportError:
        return False
    return True


def _asked(socket: str, base: Path) -> Iterator[Finding]:
    import docker
    from docker.errors import DockerException

    try:
        knock(socket, ANSWER_S)
        client = docker.APIClient(base_url=f"unix://{socket}", version="auto", timeout=ANSWER_S)
    except EngineUnavailable as error:
        yield broken(f"{error}: {START}")
        return
    except (DockerException, OSError) as error:
        yield broken(f"the engine at {socket} does not answer ({_words(error)}): {START}")
        return
    try:
        yield good(_about(client, socket))
        client.timeout = RUN_S
        yield _tried(client, base)
    except (DockerException, OSError) as error:
        yield broken(f"a container cannot be run: {_words(error)}")
    finally:
        client.close()


def _words(error: Exception) -> str:
    """What the engine said, if it was the engine, on one line."""
    return " ".join(str(getattr(error, "explanation", None) or error).split())[:300]


def _about(client: docker.APIClient, socket: str) -> str:
    version, info = client.version(), client.info()
    kind = "podman" if any("podman" in one["Name"].lower() for one in version.get("Components") or ()) else "docker"
    facts = [f"{kind} {version.get('Version')} at {socket}", f"API {client.api_version}"]
    facts.append(f"cgroups v{info.get('CgroupVersion', '1')} by {info.get('CgroupDriver')}")
    if any("rootless" in str(one) for one in info.get("SecurityOptions") or ()):
        facts.append("rootless")
    if "nvidia" in (info.get("Runtimes") or {}):
        facts.append("GPUs")
    images = str(info.get("DockerRootDir") or "")
    if os.path.isdir(images):
        room = os.statvfs(images)
        facts.append(f"images in {images} ({size(room.f_bavail * room.f_frsize)} free)")
    facts += [str(one).removeprefix("WARNING: ") for one in info.get("Warnings") or ()]
    return ", ".join(facts)


def _tried(client: docker.APIClient, base: Path) -> Finding:
    name = f"{NAME}-{secrets.token_hex(4)}"
    image = f"{NAME}:{name.rpartition('-')[2]}"
    client.import_image_from_data(_no_content(), repository=NAME, tag=image.partition(":")[2])
    try:
        with TemporaryDirectory(prefix=".scitq-doctor-", dir=base) as folder:
            os.chmod(folder, 0o777)  # noqa: S103 – root in there may be somebody else here
            _run(client, name, image, folder)
            seen = Path(folder, "file")
            if seen.exists() and seen.read_text() == _SAYS:
                return good("a container was run, and its task's folder was written to")
    finally:
        client.remove_image(image, force=True)
    return broken(
        f"a container was run, and what it wrote to its task's folder is not here: the engine does not see {base}, "
        "since it is on another machine, or in a container itself"
    )


def _run(client: docker.APIClient, name: str, image: str, folder: str) -> None:
    binds = [f"{one}:{one}:ro" for one in _OURS if os.path.isdir(one)]
    host = client.create_host_config(binds=[*binds, f"{folder}:/output"], network_mode="none")
    command = ["/bin/sh", "-c", _WRITES.format(_SAYS)]
    made: dict[str, Any] = client.create_container(image, command, name=name, host_config=host)
    try:
        client.start(made["Id"])
        client.wait(made["Id"], timeout=RUN_S)
    finally:
        client.remove_container(made["Id"], force=True)


def _no_content() -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        folder = tarfile.TarInfo("output")
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)
    return packed.getvalue()
