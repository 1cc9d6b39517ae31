"""A private S3 server (moto) and the rclone.conf that leads to it."""

from __future__ import annotations

import importlib.util
import shutil
import socket
import subprocess
import sys
from typing import Any

from tests.services.private import PrivateService
from tests.services.processes import free_ports
from tests.services.waiting import eventually

START_S = 60.0
PROGRAM = "from moto.server import main; main()"


class S3Missing(Exception):
    """moto or rclone is not on this machine; the text says how to get it."""


class PrivateS3(PrivateService):
    """Everything is in its memory. `config` names it `s3`, and once more `other`."""

    name = "the S3 server"

    def __init__(self) -> None:
        if importlib.util.find_spec("moto") is None:
            raise S3Missing("no moto found (make setup)")
        if shutil.which("rclone") is None:
            raise S3Missing("no rclone found (Debian: apt-get install rclone)")
        super().__init__("scitq-s3-")
        (self.port,) = free_ports(1)
        self.config = self._folder / "rclone.conf"
        about = f"type = s3\nprovider = Other\nendpoint = http://127.0.0.1:{self.port}\nregion = us-east-1\n"
        login = "force_path_style = true\naccess_key_id = test\nsecret_access_key = Geheim\n"
        self.config.write_text("".join(f"[{name}]\n{about}{login}\n" for name in ("s3", "other")))
        with self._log.open("wb") as log:
            command = [sys.executable, "-c", PROGRAM, "-H", "127.0.0.1", "-p", str(self.port)]
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            eventually(self._answers, "the S3 server answers", START_S)
        except BaseException:
            self.close()
            raise

    def client(self) -> Any:
        """One that is not ours."""
        import boto3

        keys = {"aws_access_key_id": "test", "aws_secret_access_key": "Geheim", "region_name": "us-east-1"}
        return boto3.client("s3", endpoint_url=f"http://127.0.0.1:{self.port}", **keys)

    def _answers(self) -> bool:
        self._must_live()
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1):
                return True
        except OSError:
            return False
