"""One rclone for all of a process: a server of its own on a loopback port, with a password that nobody else has.

It is started when the first file of a remote is asked for and ends with us; a process for each file would cost more
than most files do. What it is told goes over HTTP as JSON: no shell, and no name on a command line.
"""

from __future__ import annotations

import atexit
import base64
import http.client
import json
import os
import re
import secrets
import shutil
import subprocess
import threading
from configparser import ConfigParser
from configparser import Error as ConfigError
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

from scitq.fetch import faults
from scitq.fetch.errors import FetchErrorNoRepeat, Unreachable
from scitq.fetch.programs import missing
from scitq.fetch.rclone_answers import refusal
from scitq.fetch.watch import Cancellation, cut

START_S: Final = 30.0
ANSWER_S: Final = 3_600.0
"""For one file that is small, or one listing; what takes longer is asked about while it runs."""
_SERVING: Final = re.compile(rb"Serving remote control on http://127\.0\.0\.1:(\d+)/")
_FLAGS: Final = (
    "--rc-addr=127.0.0.1:0", "--contimeout=20s", "--timeout=60s", "--low-level-retries=3", "--stats=0",
    "--rc-server-read-timeout=87600h", "--rc-server-write-timeout=87600h",  # an answer comes when all is done
    "--use-server-modtime",  # not with the calls: it keeps what it made for a place, and how, for later ones
)  # fmt: skip
_QUICK: Final = {"RCLONE_S3_NO_HEAD": "true"}
"""What is sent to S3 goes with its MD5, and is compared with the answer's: it is not asked about once more."""
_PLACES: Final = ("/etc/rclone.conf", "~/.config/rclone/rclone.conf")


def config_path() -> str | None:
    """The rclone.conf that is used: the one that SCITQ_RCLONE_CONF names, the machine's, or the user's."""
    named = os.environ.get("SCITQ_RCLONE_CONF")
    places = [named] if named else [os.path.expanduser(place) for place in _PLACES]
    return next((place for place in places if os.path.isfile(place)), None)


def remotes() -> list[str]:
    """The names of the places that rclone.conf describes: each is a protocol."""
    path = config_path()
    if path is None:
        return []
    config = ConfigParser(interpolation=None, strict=False, default_section="\0")
    try:
        with faults.of_files(path):
            config.read_string(Path(path).read_text(encoding="utf-8"))
    except (ConfigError, UnicodeDecodeError) as error:
        raise FetchErrorNoRepeat(f"{path} cannot be understood as a configuration of rclone") from error
    return config.sections()


class Daemon:
    """It and the connections to it, which are kept."""

    def __init__(self, config: str) -> None:
        program = shutil.which("rclone")
        if program is None:
            raise missing("rclone")
        user, password = secrets.token_hex(16), secrets.token_hex(16)
        self._secret = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
        # Ends with us also when we are killed, if the system has the program for it.
        tied = ["setpriv", "--pdeathsig", "TERM"] if shutil.which("setpriv") else []
        own = {"RCLONE_CONFIG": config, "RCLONE_RC_USER": user, "RCLONE_RC_PASS": password}
        environment = _QUICK | os.environ | own
        self._idle: list[http.client.HTTPConnection] = []
        self._lock = threading.Lock()
        self._port: int | None = None
        self._said: list[bytes] = []
        self._ready = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        # That tie is to the thread that started it: this one stays as long as rclone does.
        keeping = partial(self._keep, [*tied, program, "rcd", *_FLAGS], environment)
        threading.Thread(target=keeping, name="rclone", daemon=True).start()
        if not self._ready.wait(START_S) or self._port is None:
            self.stop()
            raise Unreachable(f"rclone does not start: {b' '.join(self._said).decode(errors='replace')[-300:].strip()}")

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def call(
        self, verb: str, cancellation: Cancellation, shown: str, *, answer_s: float | None = ANSWER_S, **what: Any
    ) -> dict[str, Any]:
        """What rclone answers; its refusals in our words, about the place `shown`."""
        connection = self._connection()
        try:
            with faults.of_network(shown):
                connection.connect() if connection.sock is None else None
                connection.sock.settimeout(answer_s)
                with cancellation.cutting(partial(cut, connection.sock)):
                    headers = {"Authorization": self._secret, "Content-Type": "application/json"}
                    connection.request("POST", f"/{verb}", json.dumps(what).encode(), headers)
                    answer = connection.getresponse()
                    content = json.loads(answer.read())
        except http.client.HTTPException as error:
            connection.close()
            raise Unreachable(f"{shown}: rclone ended in the middle of it") from error
        except BaseException:
            connection.close()
            raise
        with self._lock:
            self._idle.append(connection)
        if answer.status != 200:
            raise refusal(str(content.get("error")), shown)
        assert isinstance(content, dict)
        return content

    def stop(self) -> None:
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.kill()
            self._process.wait()

    def _connection(self) -> http.client.HTTPConnection:
        with self._lock:
            if self._idle:
                return self._idle.pop()
        assert self._port is not None
        return http.client.HTTPConnection("127.0.0.1", self._port, timeout=START_S)

    def _keep(self, command: list[str], environment: dict[str, str]) -> None:
        with subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
            self._process = process
            assert process.stderr is not None
            for line in process.stderr:
                if found := _SERVING.search(line):
                    self._port = int(found[1])
                    self._ready.set()
                self._said = [*self._said[-4:], line]
        self._ready.set()


_daemons: Final[dict[str, Daemon]] = {}
_starting: Final = threading.Lock()


def daemon() -> Daemon:
    """The one that runs, for the configuration that counts now; started anew if it has died."""
    config = config_path()
    if config is None:
        raise FetchErrorNoRepeat(
            "there is no rclone.conf: make one with `rclone config`, or name it: SCITQ_RCLONE_CONF"
        )
    with _starting:
        if config in _daemons and not _daemons[config].alive:
            _daemons.pop(config).stop()
        if config not in _daemons:
            _daemons[config] = Daemon(config)
        return _daemons[config]


@atexit.register
def stop_all() -> None:
    """Nothing runs on without us."""
    with _starting:
        for one in _daemons.values():
            one.stop()
        _daemons.clear()
