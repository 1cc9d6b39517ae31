"""A service of one's own: a child process with a fresh folder, that can be killed as by a crash and started again."""

from __future__ import annotations

import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.services.processes import kill_with_children

STOP_S = 20.0


class ServiceFailed(Exception):
    """A service that did not come up or go down, or refused a command; the text ends with what it said."""


class PrivateService:
    """What starts the process, and when it answers, is for each kind to say."""

    name = "the service"
    stopping = signal.SIGTERM

    def __init__(self, prefix: str, scratch: Path | None = None) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._folder = Path(tempfile.mkdtemp(prefix=prefix, dir=scratch))
        self._log = self._folder / "log"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    @property
    def pid(self) -> int:
        if self._process is None:
            raise ServiceFailed(f"{self.name} is not running")
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None

    def kill(self) -> None:
        """The crash: SIGKILL. Returns when the process and all its children are gone."""
        if self._process is None:
            return
        process, self._process = self._process, None
        if survivors := kill_with_children(process):
            raise ServiceFailed(f"children of {self.name}, which was killed, live on: {survivors}")

    def stop(self, number: int | None = None) -> None:
        """In order; or as that signal has it."""
        if self._process is None:
            return
        self._process.send_signal(number or self.stopping)
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.kill()
        self._process = None

    def close(self) -> None:
        """Stops it and removes its folder. For good."""
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _must_live(self) -> None:
        """Raises if it has ended by itself."""
        if self._process is not None and self._process.poll() is not None:
            code, self._process = self._process.returncode, None
            raise ServiceFailed(f"{self.name} ended with {code}:\n{self._log_end()}")

    def _log_end(self) -> str:
        said = [path for path in (self._log, *sorted((self._folder / "logs").glob("*.log"))) if path.exists()]
        return "\n".join(path.read_text(errors="replace")[-2000:] for path in said) or "(no log)"
