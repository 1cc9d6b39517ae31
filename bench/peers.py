"""Others of the trade, to be measured beside: each is installed under `.peers/`, apart from us, and run from there.

What cannot be installed here, or fails, is `PeerMissing`, with the reason.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import venv
from pathlib import Path
from typing import Any, Final, NamedTuple

import orjson

HOME: Final = Path(__file__).parent.parent / ".peers"
INSTALL_S: Final = 600
RUN_S: Final = 600


class PeerMissing(Exception):
    """It cannot be measured here."""


class Peer(NamedTuple):
    """`script` is run by the peer's own interpreter with a measure (throughput, latency, submit) and its settings."""

    name: str
    package: str
    version: str
    script: str
    settings: dict[str, Any]

    def __str__(self) -> str:
        name, comma, more = self.name.partition(",")
        return f"{name} {self.version}{comma}{more}"


HYPERQUEUE: Final = Peer("HyperQueue", "hyperqueue", "0.27.0", "peer_hyperqueue.py", {})
CELERY: Final = Peer("Celery", "celery", "5.7.0", "peer_celery.py", {"durable": False})
CELERY_LATE: Final = Peer(
    "Celery, late acknowledgements and confirms", "celery", "5.7.0", "peer_celery.py", {"durable": True}
)
DASK: Final = Peer("Dask distributed", "distributed", "2026.8.0", "peer_dask.py", {})
PEERS: Final = (HYPERQUEUE, CELERY, CELERY_LATE, DASK)


def installed(peer: Peer) -> Path:
    """The peer's interpreter. It is installed when it is first asked for."""
    home = HOME / f"{peer.package}-{peer.version}"
    python = home / "bin" / "python"
    if not (home / "installed").exists():
        try:
            venv.create(home, clear=True, with_pip=True)
            command = [str(python), "-m", "pip", "install", "--quiet", f"{peer.package}=={peer.version}"]
            done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_S, check=False)
        except (OSError, subprocess.SubprocessError) as error:
            raise PeerMissing(f"it could not be installed: {error}") from error
        if done.returncode:
            lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
            raise PeerMissing(f"it could not be installed: {(lines or ['pip failed'])[-1][:200]}")
        (home / "installed").touch()
    return python


def measure(peer: Peer, what: str, *, tasks: int, slots: int, folder: Path, broker: str = "") -> dict[str, float]:
    """What its script found, by name. Whatever it started ends with it."""
    settings = {"tasks": tasks, "slots": slots, "folder": str(folder), "broker": broker, **peer.settings}
    script = Path(__file__).with_name(peer.script)
    command = [str(installed(peer)), "-P", str(script), what, orjson.dumps(settings).decode()]
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip
    try:
        said, complaint = process.communicate(timeout=RUN_S)
    except subprocess.TimeoutExpired as error:
        raise PeerMissing(f"it did not end within {RUN_S} s") from error
    finally:
        _end_group(process)
    if process.returncode:
        raise PeerMissing(f"it failed: {(complaint.strip().splitlines() or ['without a word'])[-1][:200]}")
    found: dict[str, float] = orjson.loads(said.splitlines()[-1])
    return found


def _end_group(process: subprocess.Popen[str]) -> None:
    """Also those of its children that it left behind."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
