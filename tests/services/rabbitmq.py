"""A RabbitMQ of one's own: a fresh folder, free ports of 127.0.0.1, a child process that can be killed.

    with PrivateRabbit() as rabbit:
        bus = RabbitBus([rabbit.url])

It has a port mapper (`epmd`) and a cookie of its own, so that it neither meets nor leaves behind another Erlang.
"""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
from collections.abc import Mapping
from typing import NamedTuple

import httpx

from tests.services.certificates import certify
from tests.services.private import PrivateService, ServiceFailed
from tests.services.processes import free_ports
from tests.services.rabbit_programs import find_programs
from tests.services.waiting import holds_within

START_S = 90.0
COMMAND_S = 60.0
KEPT = ("PATH", "LANG", "LC_ALL", "TMPDIR")
QUIET = "+sbwt none +sbwtdcpu none +sbwtdio none"  # Erlang's schedulers spin while they wait, on cores of others
DENIED = ("transient_nonexcl_queues", "global_qos", "queue_master_locator", "ram_node_type")
"""What later releases of RabbitMQ 4 do without. 4.0 does not start again without the first when it was killed with
any queue in it: so that is denied to brokers only that are not killed (`strict`)."""
GREETING = b"AMQP\0\0\x09\x01"


class Shared(NamedTuple):
    """The port mapper that knows all nodes of a cluster, and the secret by which they know each other."""

    mapper_port: int
    cookie: str

    @classmethod
    def new(cls) -> Shared:
        return cls(free_ports(1)[0], secrets.token_hex(16))


class PrivateRabbit(PrivateService):
    """One broker. `kill()`, `start()` and `wipe()` keep its ports, hence its URLs.

    `shared`: what those of a cluster have in common. Each of them is then called `name`.
    """

    name = "RabbitMQ"

    def __init__(
        self,
        settings: Mapping[str, str] | None = None,
        *,
        management: bool = False,
        name: str = "scitq",
        shared: Shared | None = None,
        start: bool = True,
        strict: bool = False,
    ) -> None:
        self._programs = find_programs()
        super().__init__("scitq-rabbitmq-", self._programs.scratch)
        self._mapper: subprocess.Popen[bytes] | None = None
        self.port, self.tls_port, self._distribution_port, self._admin_port = free_ports(4)
        self._management, self._strict = management, strict
        self.node, self._shared = f"{name}@localhost", shared or Shared.new()
        self.authority = self._folder / "authority.pem"
        try:
            self._configure(dict(settings or {}))
            if start:
                self.start()
        except BaseException:
            self.close()
            raise

    @property
    def client_options(self) -> str:
        """For a broker that asks its clients for a certificate: one of the same authority."""
        return f"&certfile={self._folder / 'server.pem'}&keyfile={self._folder / 'server.key'}"

    @property
    def url(self) -> str:
        return f"amqp://guest:guest@127.0.0.1:{self.port}/%2F"

    @property
    def tls_url(self) -> str:
        """Its certificate is signed by `authority`, and for 127.0.0.1 only."""
        return f"amqps://guest:guest@127.0.0.1:{self.tls_port}/%2F"

    @property
    def admin_url(self) -> str:
        """Of its management API, if it was started with one."""
        return f"http://guest:guest@127.0.0.1:{self._admin_port}"

    def vhost_url(self) -> str:
        """In a virtual host of its own, made now over the management API."""
        name = f"v{secrets.token_hex(4)}"
        rights = {"configure": ".*", "write": ".*", "read": ".*"}
        with httpx.Client(base_url=f"{self.admin_url}/api/", trust_env=False) as client:
            client.put(f"vhosts/{name}").raise_for_status()
            client.put(f"permissions/{name}/guest", json=rights).raise_for_status()
        return f"amqp://guest:guest@127.0.0.1:{self.port}/{name}"

    def start(self) -> None:
        """Starts the broker and returns when it answers. Does nothing to one that runs."""
        self.begin()
        if not holds_within(START_S, self._answers):
            raise ServiceFailed(f"RabbitMQ does not answer after {START_S:.0f} s:\n{self._log_end()}")

    def begin(self) -> None:
        """The same, without waiting for it."""
        if self._process is not None:
            return
        with self._log.open("ab") as log:
            if self._mapper is None and not _listens_at(self._shared.mapper_port):
                self._mapper = subprocess.Popen(  # a child of ours; else Erlang leaves one behind for ever
                    self._programs.command("epmd", "-port", str(self._shared.mapper_port), "-address", "127.0.0.1"),
                    env=self._environ, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                )  # fmt: skip
            self._process = subprocess.Popen(
                self._programs.command("rabbitmq-server"),
                env=self._environ, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                cwd=self._folder,
            )  # fmt: skip

    def wipe(self) -> None:
        """Everything in it is lost, as when a machine is made anew: queues, exchanges, messages."""
        self.kill()
        shutil.rmtree(self._folder / "mnesia")
        self.start()

    def ctl(self, *words: str) -> str:
        """What `rabbitmqctl` prints. It takes a second or two to start."""
        done = subprocess.run(
            self._programs.command("rabbitmqctl", "--quiet", *words),
            env=self._environ, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=COMMAND_S,
            check=False,
        )  # fmt: skip
        if done.returncode != 0:
            raise ServiceFailed(f"rabbitmqctl {words[0]} failed:\n{done.stdout}{done.stderr}")
        return done.stdout

    def settle(self) -> None:
        """Write to disk what RabbitMQ 3.10 writes a second or two late: the names of its quorum queues. A crash before
        that loses young ones, with all that was confirmed; a test of anything else does not want to see it."""
        self.ctl("eval", "[dets:sync(T) || T <- dets:all()].")

    def close(self) -> None:
        super().close()
        if self._mapper is not None:
            self._mapper.kill()
            self._mapper.wait()
            self._mapper = None

    def _configure(self, settings: Mapping[str, str]) -> None:
        home, plugins = self._folder / "home", self._folder / "enabled_plugins"
        home.mkdir()
        cookie = home / ".erlang.cookie"
        cookie.write_text(self._shared.cookie)
        cookie.chmod(0o400)
        plugins.write_text("[rabbitmq_management]." if self._management else "[].")
        certify(self._folder)
        seen = self._programs.seen
        options = {
            "listeners.tcp.1": f"127.0.0.1:{self.port}",
            "listeners.ssl.1": f"127.0.0.1:{self.tls_port}",
            "ssl_options.cacertfile": seen(self.authority),
            "ssl_options.certfile": seen(self._folder / "server.pem"),
            "ssl_options.keyfile": seen(self._folder / "server.key"),
            "log.console": "false",
            "disk_free_limit.absolute": "50MB",
            "vm_memory_high_watermark.absolute": "1GB",
        } | dict(settings)
        if self._management:
            options |= {"management.tcp.ip": "127.0.0.1", "management.tcp.port": str(self._admin_port)}
        if self._programs.apart:
            denied = DENIED if self._strict else DENIED[1:]
            options |= {f"deprecated_features.permit.{name}": "false" for name in denied}
        config = self._folder / "rabbitmq.conf"
        config.write_text("".join(f"{name} = {value}\n" for name, value in options.items()))
        self._environ = {name: os.environ[name] for name in KEPT if name in os.environ} | {
            "HOME": seen(home),
            "RABBITMQ_NODENAME": self.node,
            "RABBITMQ_CONF_ENV_FILE": os.devnull,
            "RABBITMQ_CONFIG_FILE": seen(config),
            "RABBITMQ_ADVANCED_CONFIG_FILE": seen(self._folder / "advanced.config"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": seen(plugins),
            "RABBITMQ_MNESIA_BASE": seen(self._folder / "mnesia"),
            "RABBITMQ_LOG_BASE": seen(self._folder / "logs"),
            "RABBITMQ_PID_FILE": seen(self._folder / "pid"),
            "RABBITMQ_DIST_PORT": str(self._distribution_port),
            "ERL_EPMD_PORT": str(self._shared.mapper_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RUNNING_UNDER_SYSTEMD": "true",  # the script then becomes the broker, and its pid the broker's
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1} "
            f"-start_epmd false {QUIET}",
        }

    def _answers(self) -> bool:
        self._must_live()
        return _answers_at(self.port) and (not self._management or _listens_at(self._admin_port))


def _listens_at(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), 1):
            return True
    except OSError:
        return False


def _answers_at(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), 1) as sock:
            sock.settimeout(2)
            sock.sendall(GREETING)
            return bool(sock.recv(1))
    except OSError:
        return False
