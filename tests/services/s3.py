"""Private S3 servers, moto and s3rver, and the rclone.conf that leads to them."""

from __future__ import annotations

import importlib.util
import shutil
import socket
import subprocess
import sys
from abc import abstractmethod
from pathlib import Path
from typing import Any

from tests.services.private import PrivateService
from tests.services.processes import free_ports
from tests.services.waiting import eventually

START_S = 60.0
PROGRAM = "from moto.server import main; main()"
INSTALLED = Path(__file__).resolve().parents[2] / ".services/node_modules/.bin/s3rver"


class S3Missing(Exception):
    """The server or rclone is not on this machine; the text says how to get it."""


class _S3Server(PrivateService):
    """`config` names it `s3`, and once more `other`."""

    name = "the S3 server"
    keys = ("", "")

    def __init__(self) -> None:
        if shutil.which("rclone") is None:
            raise S3Missing("no rclone found (Debian: apt-get install rclone)")
        super().__init__("scitq-s3-")
        (self.port,) = free_ports(1)
        self.config = self._folder / "rclone.conf"
        about = f"type = s3\nprovider = Other\nendpoint = http://127.0.0.1:{self.port}\nregion = us-east-1\n"
        key, secret = self.keys
        login = f"force_path_style = true\naccess_key_id = {key}\nsecret_access_key = {secret}\n"
        self.config.write_text("".join(f"[{name}]\n{about}{login}\n" for name in ("s3", "other")))
        with self._log.open("wb") as log:
            command = self._command()
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            eventually(self._answers, f"{self.name} answers", START_S)
        except BaseException:
            self.close()
            raise

    @abstractmethod
    def _command(self) -> list[str]:
        """What starts it."""

    def client(self) -> Any:
        """One that is not ours."""
        import boto3

        key, secret = self.keys
        keys = {"aws_access_key_id": key, "aws_secret_access_key": secret, "region_name": "us-east-1"}
        return boto3.client("s3", endpoint_url=f"http://127.0.0.1:{self.port}", **keys)

    def _answers(self) -> bool:
        self._must_live()
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1):
                return True
        except OSError:
            return False


class PrivateS3(_S3Server):
    """moto. Everything is in its memory."""

    name = "moto"
    keys = ("test", "Geheim")

    def _command(self) -> list[str]:
        if importlib.util.find_spec("moto") is None:
            raise S3Missing("no moto found (make setup)")
        return [sys.executable, "-c", PROGRAM, "-H", "127.0.0.1", "-p", str(self.port)]


class S3rver(_S3Server):
    """s3rver, of Node's world. Everything is in files of its folder."""

    name = "s3rver"
    keys = ("S3RVER", "S3RVER")

    def _command(self) -> list[str]:
        program = str(INSTALLED) if INSTALLED.exists() else shutil.which("s3rver")
        if program is None:
            raise S3Missing("no s3rver found (make setup, or: npm install --global s3rver)")
        return [program, "-d", str(self._folder / "data"), "-a", "127.0.0.1", "-p", str(self.port), "--silent"]
