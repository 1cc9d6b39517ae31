"""A private Azure Blob server (Azurite) and the rclone.conf that leads to it."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
from pathlib import Path

from tests.services.private import PrivateService
from tests.services.processes import free_ports
from tests.services.waiting import eventually

START_S = 60.0
INSTALLED = Path(__file__).resolve().parents[2] / ".services/node_modules/.bin/azurite-blob"


class AzureMissing(Exception):
    """Azurite or rclone is not on this machine; the text says how to get it."""


class PrivateAzure(PrivateService):
    """`config` names it `azure`."""

    name = "Azurite"
    stopping = signal.SIGKILL  # told nicely, it waits for connections that are kept

    def __init__(self) -> None:
        program = str(INSTALLED) if INSTALLED.exists() else shutil.which("azurite-blob")
        if program is None:
            raise AzureMissing("no Azurite found (make setup, or: npm install --global azurite)")
        if shutil.which("rclone") is None:
            raise AzureMissing("no rclone found (Debian: apt-get install rclone)")
        super().__init__("scitq-azure-")
        (self.port,) = free_ports(1)
        self.config = self._folder / "rclone.conf"
        endpoint = f"http://127.0.0.1:{self.port}/devstoreaccount1"
        self.config.write_text(f"[azure]\ntype = azureblob\nuse_emulator = true\nendpoint = {endpoint}\n")
        place = ["--blobHost", "127.0.0.1", "--blobPort", str(self.port), "-l", str(self._folder / "data")]
        with self._log.open("wb") as log:
            command = [program, *place, "--skipApiVersionCheck", "--silent"]
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            eventually(self._answers, "Azurite answers", START_S)
        except BaseException:
            self.close()
            raise

    def _answers(self) -> bool:
        self._must_live()
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1):
                return True
        except OSError:
            return False
