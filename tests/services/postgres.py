"""A PostgreSQL of one's own: a fresh data folder, a free port of 127.0.0.1, a child process that can be killed.

    with PrivatePostgres() as postgres:
        url = postgres.create_database()

Durability is PostgreSQL's default (fsync on), so that what a `kill()` leaves behind is what a crash would leave.
"""

import itertools
import os
import pwd
import shutil
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import NullPool, create_engine
from sqlalchemy.exc import OperationalError

from tests.services.private import PrivateService, ServiceFailed
from tests.services.processes import free_ports
from tests.services.waiting import holds_within

SUPERUSER = "scitq"
START_S = 60.0  # a start after a crash replays the write-ahead log first


class PostgresMissing(Exception):
    """No PostgreSQL server programs on this machine; `make setup` installs them."""


def find_programs() -> Path:
    """The folder of the newest `initdb` and `postgres` of this machine."""
    found = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/postgres")]
    if found:
        return max(found, key=lambda folder: float(folder.parent.name))
    on_path = shutil.which("postgres")
    if on_path is None:
        raise PostgresMissing("PostgreSQL's server programs are not installed (make setup does it on Debian)")
    return Path(on_path).resolve().parent


class PrivatePostgres(PrivateService):
    """One server. `kill()` and `start()` keep its data and its port, hence every URL it has given out.

    `stop()` is a fast shutdown: open transactions are rolled back, a checkpoint is written. With SIGQUIT an immediate
    one, as by `pg_ctl -m immediate`: nothing is.
    """

    name = "PostgreSQL"
    stopping = signal.SIGINT

    def __init__(self, settings: Mapping[str, str] | None = None) -> None:
        self._programs = find_programs()
        self._settings = dict(settings or {})
        super().__init__("scitq-postgres-")
        self._numbers = itertools.count(1)
        self._identity = _unprivileged()
        self._data = self._folder / "data"
        self.port = free_ports(1)[0]
        if "user" in self._identity:
            os.chown(self._folder, self._identity["user"], self._identity["group"])
        try:
            self._make_data_folder()
            self.start()
        except BaseException:
            self.close()
            raise

    @property
    def url(self) -> str:
        """The maintenance database; a test that writes takes one of its own from `create_database()`."""
        return self._url("postgres")

    def create_database(self) -> str:
        """The URL of an empty database that nobody else uses."""
        name = f"test_{next(self._numbers)}"
        engine = create_engine(self.url, isolation_level="AUTOCOMMIT", poolclass=NullPool)
        with engine.connect() as connection:
            connection.exec_driver_sql(f"CREATE DATABASE {name} TEMPLATE template0")
        engine.dispose()
        return self._url(name)

    def start(self) -> None:
        """Starts the server and returns when it answers. Does nothing to one that runs."""
        if self._process is not None:
            return
        options = {"listen_addresses": "127.0.0.1", "unix_socket_directories": "", "max_connections": "200"}
        command = [str(self._programs / "postgres"), "-D", str(self._data), "-p", str(self.port)]
        for name, value in (options | self._settings).items():
            command += ["-c", f"{name}={value}"]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", start_new_session=True,
                **self._identity,
            )  # fmt: skip
        if not holds_within(START_S, self._answers):
            raise ServiceFailed(f"PostgreSQL does not answer after {START_S:.0f} s:\n{self._log_end()}")

    def _url(self, database: str) -> str:
        return f"postgresql+psycopg2://{SUPERUSER}@127.0.0.1:{self.port}/{database}"

    def _make_data_folder(self) -> None:
        command = [str(self._programs / "initdb"), "-D", str(self._data), "-U", SUPERUSER, "-A", "trust"]
        command += ["--no-sync", "--encoding=UTF8", "--locale=C"]
        done = subprocess.run(command, capture_output=True, text=True, cwd="/", check=False, **self._identity)
        if done.returncode != 0:
            raise ServiceFailed(f"initdb failed:\n{done.stderr}")

    def _answers(self) -> bool:
        self._must_live()
        engine = create_engine(self.url, poolclass=NullPool)
        try:
            engine.connect().close()
        except OperationalError:
            return False
        finally:
            engine.dispose()
        return True


def _unprivileged() -> dict[str, Any]:
    """What `subprocess` needs to leave root behind: PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
    raise PostgresMissing("PostgreSQL refuses to run as root, and there is no user postgres or nobody")
