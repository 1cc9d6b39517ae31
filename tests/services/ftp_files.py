"""Private FTP servers of a folder: vsftpd, and one in Python that cuts its connections as it is told."""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

from tests.services.private import PrivateService
from tests.services.processes import free_ports
from tests.services.waiting import eventually

START_S = 20.0
ROOT = Path(__file__).resolve().parents[2]


class FtpMissing(Exception):
    """A server is not on this machine; the text says how to get it."""


class _FtpServer(PrivateService):
    """`files` is what it serves; anybody may read and write."""

    def __init__(self) -> None:
        super().__init__("scitq-ftp-")
        self.files = self._folder / "files"
        self.files.mkdir()
        (self.port,) = free_ports(1)
        self.url = f"ftp://127.0.0.1:{self.port}"
        self._command: list[str] = []

    def said(self) -> str:
        return self._log.read_text(errors="replace")

    def begin(self) -> None:
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=ROOT)
        try:
            eventually(self._answers, f"{self.name} answers", START_S)
        except BaseException:
            self.close()
            raise

    def _answers(self) -> bool:
        self._must_live()
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1) as line:
                return line.recv(3) == b"220"
        except OSError:
            return False


class Vsftpd(_FtpServer):
    """The server of most public archives: no MLSD, and names that it takes for patterns."""

    name = "vsftpd"

    def __init__(self) -> None:
        program = shutil.which("vsftpd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
        if program is None:
            raise FtpMissing("no vsftpd found (Debian: apt-get install vsftpd)")
        super().__init__()
        settings = {
            "listen": "YES",
            "listen_ipv6": "NO",
            "listen_address": "127.0.0.1",
            "listen_port": self.port,
            "background": "NO",
            "anonymous_enable": "YES",
            "anon_root": self.files,
            "no_anon_password": "YES",
            "anon_umask": "022",
            "anon_upload_enable": "YES",
            "anon_mkdir_write_enable": "YES",
            "anon_other_write_enable": "YES",
            "write_enable": "YES",
            "mdtm_write": "NO",
            "run_as_launching_user": "YES",
            "allow_writeable_chroot": "YES",
            "seccomp_sandbox": "NO",
        }
        written = self._folder / "vsftpd.conf"
        written.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
        self._command = [program, str(written)]
        self.begin()


class PythonFtp(_FtpServer):
    """pyftpdlib. Of the first downloads, each is cut after so many bytes."""

    name = "the FTP server in Python"

    def __init__(self, *cuts: int) -> None:
        if importlib.util.find_spec("pyftpdlib") is None:
            raise FtpMissing("no pyftpdlib found (make setup)")
        super().__init__()
        words = [str(self.files), str(self.port), *map(str, cuts)]
        self._command = [sys.executable, "-m", "tests.services.ftp_program", *words]
        self.begin()
