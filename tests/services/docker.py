"""A docker engine of one's own: a dockerd with a fresh folder and socket, an image from this machine's busybox, and a
registry that asks for a password.

    with PrivateDocker() as docker:
        docker.client().create_container("busybox:1", "echo hello")

It has neither bridge nor firewall rules, so containers have the network `host` or `none`; nothing is downloaded.
"""

from __future__ import annotations

import io
import os
import shutil
import socket
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import docker
import httpx
import psutil

from tests.services.private import PrivateService, ServiceFailed
from tests.services.processes import free_ports
from tests.services.waiting import holds_within

START_S = 60.0
IMAGE = "busybox:1"
USER, PASSWORD = "reader", "secret"
HTPASSWD = f"{USER}:$2b$04$wmS7w9wPUMyEjeLfpnZWguh/rxVvC3VbXJPk7u2EfBJ3FDJYC3bem"


class DockerMissing(Exception):
    """No dockerd on this machine, or none that its kernel lets work; the text says what is missing."""


class PrivateDocker(PrivateService):
    """One engine. After `kill()` its containers live on, as after a crash; `start()` brings it back to them."""

    name = "dockerd"

    def __init__(self, *settings: str) -> None:
        self._program = _program("dockerd", "docker.io")
        self._settings = settings
        if os.geteuid() != 0:
            raise DockerMissing("a dockerd of one's own needs root")
        super().__init__("scitq-docker-")
        self.socket = self._folder / "socket"
        try:
            try:
                self.start()
            except ServiceFailed as error:
                raise DockerMissing(f"dockerd does not work on this machine: {error}") from error
            self.make_image(IMAGE)
        except BaseException:
            self.close()
            raise

    @property
    def url(self) -> str:
        return f"unix://{self.socket}"

    def client(self) -> docker.APIClient:
        return docker.APIClient(base_url=self.url, version="auto", timeout=30)

    def start(self) -> None:
        """Returns when it answers. Does nothing to one that runs."""
        if self._process is not None:
            return
        (self._folder / "daemon.json").write_text("{}")  # not this machine's
        command = [self._program, "--iptables=false", "--bridge=none", f"--host={self.url}"]
        command += [f"--data-root={self._folder}/data", f"--exec-root={self._folder}/exec"]
        command += [f"--pidfile={self._folder}/pid", f"--config-file={self._folder}/daemon.json", *self._settings]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", start_new_session=True
            )
        if not holds_within(START_S, self._answers):
            raise ServiceFailed(f"dockerd does not answer after {START_S:.0f} s:\n{self._log_end()}")

    def make_image(self, name: str, extra: bytes = b"") -> None:
        """This machine's busybox, and a name for each thing it can do; `extra` makes it differ from others."""
        repository, _, tag = name.rpartition(":")
        client = self.client()
        try:
            client.import_image_from_data(busybox_files(extra), repository=repository, tag=tag)
        finally:
            client.close()

    def kill(self) -> None:
        """The crash of dockerd and of containerd, which it started. What each container has as a parent lives on."""
        if self._process is not None:
            children = psutil.Process(self.pid).children(recursive=True)
            for child in children:
                child.kill()
            self._process.kill()
            self._process.wait()
            self._process = None
            psutil.wait_procs(children, timeout=START_S)
            (self._folder / "exec/containerd/containerd.pid").unlink(missing_ok=True)  # it may be a zombie's for long

    def close(self) -> None:
        """Also what a crash left: containers live in processes of their own, and their file systems are mounted."""
        self.stop()
        left = [process for process in psutil.process_iter(["cmdline"]) if self._is_ours(process)]
        family = [one for process in left for one in [process, *process.children(recursive=True)]]
        for process in family:
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue
        psutil.wait_procs(family, timeout=START_S)
        mounts = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
        for path in sorted((path for path in mounts if path.startswith(f"{self._folder}/")), reverse=True):
            subprocess.run(["umount", "--lazy", path], check=False, capture_output=True)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _is_ours(self, process: psutil.Process) -> bool:
        return any(str(self._folder) in word for word in process.info["cmdline"] or ())

    def _answers(self) -> bool:
        self._must_live()
        with socket.socket(socket.AF_UNIX) as knock:
            try:
                knock.connect(str(self.socket))
                knock.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
                return b" 200 " in knock.recv(100)
            except OSError:
                return False


class PrivateRegistry(PrivateService):
    """A place to pull images from, which wants USER and PASSWORD."""

    name = "docker-registry"

    def __init__(self) -> None:
        self._program = _program("docker-registry", "docker-registry")
        super().__init__("scitq-registry-")
        self.port = free_ports(1)[0]
        try:
            self._write_settings()
            self.start()
        except BaseException:
            self.close()
            raise

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        if self._process is not None:
            return
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [self._program, "serve", str(self._folder / "settings.yml")],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", start_new_session=True,
                env={"PATH": os.defpath, "HOME": str(self._folder), "OTEL_TRACES_EXPORTER": "none"},
            )  # fmt: skip
        if not holds_within(START_S, self._answers):
            raise ServiceFailed(f"docker-registry does not answer after {START_S:.0f} s:\n{self._log_end()}")

    def put(self, engine: PrivateDocker, name: str, extra: bytes = b"") -> str:
        """An image under that name in here and not at the engine; its reference."""
        reference = f"{self.address}/{name}"
        repository, _, tag = reference.rpartition(":")
        engine.make_image(reference, extra)
        client = engine.client()
        try:
            credentials = {"username": USER, "password": PASSWORD}
            for said in client.push(repository, tag, stream=True, decode=True, auth_config=credentials):
                if "error" in said:
                    raise ServiceFailed(f"the image cannot be pushed: {said['error']}")
            client.remove_image(reference)
        finally:
            client.close()
        return reference

    def _write_settings(self) -> None:
        (self._folder / "passwords").write_text(HTPASSWD + "\n")
        (self._folder / "settings.yml").write_text(
            f"version: 0.1\n"
            f"log: {{level: error}}\n"
            f"storage: {{filesystem: {{rootdirectory: {self._folder}/images}}}}\n"
            f"http: {{addr: {self.address}, secret: of-the-tests}}\n"
            f"auth: {{htpasswd: {{realm: tests, path: {self._folder}/passwords}}}}\n"
        )

    def _answers(self) -> bool:
        self._must_live()
        try:
            return httpx.get(f"http://{self.address}/v2/", timeout=5).status_code == 401
        except httpx.TransportError:
            return False


def busybox_files(extra: bytes = b"") -> bytes:
    """An image's file system, as a tar."""
    program = Path(_program("busybox", "busybox-static")).resolve()
    applets = subprocess.run([program, "--list"], capture_output=True, text=True, check=True).stdout.split()
    said: str = subprocess.run(["ldd", program], capture_output=True, text=True, check=False).stdout
    libraries = [Path(word) for word in said.split() if word.startswith("/")]
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        tar.add(program, "bin/busybox")
        for library in libraries:
            tar.add(library.resolve(), str(library).lstrip("/"))
        for applet in applets:
            if applet != "busybox":
                _add(tar, f"bin/{applet}", type=tarfile.SYMTYPE, linkname="busybox")
        for folder in ("etc", "root", "proc", "sys", "dev"):
            _add(tar, folder, type=tarfile.DIRTYPE, mode=0o755)
        _add(tar, "tmp", type=tarfile.DIRTYPE, mode=0o1777)
        for path, content in (("etc/passwd", b"root:x:0:0::/root:/bin/sh\n"), ("extra", extra)):
            entry = tarfile.TarInfo(path)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


def _add(tar: tarfile.TarFile, name: str, **fields: Any) -> None:
    entry = tarfile.TarInfo(name)
    for key, value in fields.items():
        setattr(entry, key, value)
    tar.addfile(entry)


def _program(name: str, package: str) -> str:
    found = shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin")
    if found is None:
        raise DockerMissing(f"{name} is not installed (make setup does it; Debian: apt-get install {package})")
    return found
