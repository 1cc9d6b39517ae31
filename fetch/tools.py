"""A program that does what Python cannot: the one that is installed, else the same in its container.

It gets a list of words and never a shell, works in a folder that both ways see under the same name, and ends with us:
when the call is called off, when we are killed, and when nothing it writes has grown for too long.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from typing import IO, Final, NamedTuple

from scitq.fetch import faults
from scitq.fetch.errors import FetchError, NoSpace, NotAuthorised, NotFound, NotInstalled, TimedOut, Unreachable
from scitq.fetch.programs import PROGRAMS
from scitq.fetch.services import service
from scitq.fetch.watch import Cancellation

LOOK_EVERY_S: Final = 0.2
_END_S: Final = 10.0
_IMAGE_S: Final = 600.0
"""An image may have to be fetched before a container can begin to write."""
_SAID_BYTES: Final = 2_000
_ENGINE_FAILED: Final = 125
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]+")
_FULL: Final = re.compile(r"no space left|disk.limit|disk full|not enough space", re.IGNORECASE)
_REFUSED: Final = re.compile(r"authentication failed|permission denied|not authorized", re.IGNORECASE)
_MISSING: Final = re.compile(r"no such file or directory|name not found while resolving", re.IGNORECASE)
_NO_ENGINE: Final = re.compile(r"cannot connect|permission denied|is the docker daemon running", re.IGNORECASE)


class Tool(NamedTuple):
    """A program, the one of `programs.py` that it comes with, and the setting that names its image."""

    program: str
    comes_with: str
    image: str


class Way(NamedTuple):
    """How a tool is run here: words before its own, the name of its container if any, and what else would do."""

    words: list[str]
    container: str | None = None
    instead: str = ""


def way_of(tool: Tool, folder: str, readable: Sequence[str] = (), entry: Sequence[str] = ()) -> Way:
    """That which is installed, else its container; `readable`: files that it sees too, `entry`: see docker run."""
    if installed := shutil.which(tool.program):
        return Way([installed])
    install = PROGRAMS[tool.comes_with].install
    engine = shutil.which("docker") or shutil.which("podman")
    if engine is None:
        raise NotInstalled(
            f"{tool.program} is needed for this and is not installed ({install}; or docker, to run it in its container:"
            " apt-get install docker.io)"
        )
    name = f"scitq-fetch-{secrets.token_hex(8)}"
    mounts = [_mount(folder), *(_mount(path, readable=True) for path in readable)]
    # With the machine's network, as the program would have outside: Aspera is made of UDP.
    limits = ["--rm", "--network=host", "--name", name, "--user", f"{os.getuid()}:{os.getgid()}"]
    home = ["--env", f"HOME={folder}", "--workdir", folder]
    words = [engine, "run", *limits, *mounts, *home, *entry, service(tool.image)]
    return Way(words if entry else [*words, tool.program], name, f"start docker, or install {tool.program} ({install})")


def run(
    way: Way,
    words: Sequence[str],
    folder: str,
    cancellation: Cancellation,
    stall_s: float,
    grown: Callable[[], int],
    *,
    shown: str,
    environment: Mapping[str, str] = {},
) -> None:
    """Until it ends, well; `grown`: how much it has written so far. Its own words are in the error if it fails."""
    command = [*_tied(), *way.words, *words]
    with ExitStack() as stack:
        said = stack.enter_context(tempfile.TemporaryFile())
        with faults.of_files(command[0]):
            process = subprocess.Popen(
                command, cwd=folder, stdin=subprocess.DEVNULL, stdout=said, stderr=said, start_new_session=True,
                env={**os.environ, **environment},
            )  # fmt: skip
        stack.callback(_end, process, way)
        with cancellation.cutting(process.kill):
            _follow(process, stall_s if way.container is None else max(stall_s, _IMAGE_S), grown, shown)
        cancellation.check()
        if process.returncode != 0:
            raise _failure(process.returncode, _tail(said), folder, shown, way)


def _follow(process: subprocess.Popen[bytes], stall_s: float, grown: Callable[[], int], shown: str) -> None:
    size, moved_at = grown(), time.monotonic()
    while True:
        try:
            process.wait(LOOK_EVERY_S)
            grown()
            return
        except subprocess.TimeoutExpired:
            if (now := grown()) != size:
                size, moved_at = now, time.monotonic()
            elif time.monotonic() - moved_at > stall_s:
                raise TimedOut(f"{shown}: nothing has come for {stall_s:g} s") from None


def _tied() -> list[str]:
    """It ends with us also when we are killed, if the system has the program for it."""
    return ["setpriv", "--pdeathsig", "TERM", "--"] if shutil.which("setpriv") else []


def _end(process: subprocess.Popen[bytes], way: Way) -> None:
    """Whatever happened, nothing of it runs on."""
    if process.returncode is None or process.returncode < 0:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if way.container is not None:
            removal = [way.words[0], "rm", "--force", way.container]
            with suppress(subprocess.TimeoutExpired):  # an engine that hangs: its container is stopped by nobody
                subprocess.run(removal, stdin=subprocess.DEVNULL, capture_output=True, timeout=_END_S, check=False)


def _failure(code: int, said: str, folder: str, shown: str, way: Way) -> FetchError:
    program = os.path.basename(way.words[0])
    reason = f"{shown}: {program} ended with {code}" + (f": {said}" if said else "")
    if way.container is not None and code == _ENGINE_FAILED and _NO_ENGINE.search(said):
        return NotInstalled(f"{reason}; {way.instead}")
    if _FULL.search(said) or _is_full(folder):
        return NoSpace(reason)
    if _MISSING.search(said):
        return NotFound(reason)
    return NotAuthorised(reason) if _REFUSED.search(said) else Unreachable(reason)


def _is_full(folder: str) -> bool:
    try:
        found = os.statvfs(folder)
    except OSError:
        return False
    return found.f_bavail * found.f_frsize < 1 << 20


def _tail(said: IO[bytes]) -> str:
    """The end of what it said, on one line."""
    size = said.seek(0, os.SEEK_END)
    said.seek(max(0, size - _SAID_BYTES))
    words = _CONTROL.sub(" ", said.read().decode(errors="replace")).strip()
    return words if len(words) <= 300 else "…" + words[-299:]


def _mount(path: str, *, readable: bool = False) -> str:
    """In the form in which any name can be written but one with a line break."""
    fields = ["type=bind", f"source={path}", f"target={path}", *(["readonly"] if readable else [])]
    return "--mount=" + ",".join('"' + field.replace('"', '""') + '"' for field in fields)


def bytes_in(folder: str) -> int:
    """All that is in a folder now, which somebody else may be changing."""
    total = 0
    for where, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):  # renamed meanwhile
                total += os.lstat(os.path.join(where, name)).st_size
    return total
