"""scitq-manage watch: batches, workers and failures as they are now, in a terminal, and steered from there."""

from __future__ import annotations

import contextlib
import logging
import os
import select
import signal
import sys
import termios
import time
import tty
from collections.abc import Iterator
from typing import Any, Final

import typer

from scitq.cli.client import Target
from scitq.cli.output import SIGNALLED
from scitq.errors import Rejected

PAUSE_S: Final = 1.0
"""The server is asked no more often than that, and only when something has happened; how it is itself, now and then."""
KEYS: Final = {
    b"\x1b[A": "up", b"\x1bOA": "up", b"k": "up", b"\x1b[B": "down", b"\x1bOB": "down", b"j": "down",
    b"\x1b[5~": "page up", b"\x1b[6~": "page down", b"\r": "enter", b"\n": "enter", b"\x1b": "back", b"\x7f": "erase",
    b"\x08": "erase",
}  # fmt: skip


def watch(context: typer.Context) -> None:
    """Show batches, workers, failures and what time is left, as it changes; ? tells the keys."""
    from scitq.lib import Server
    from scitq.lib.progress import drawable

    if not (sys.stdin.isatty() and drawable(sys.stdout)):
        raise Rejected("watch draws in a terminal, and this is none: see scitq-manage batch list, and status --json")
    target = context.find_object(Target) or Target()
    log = logging.getLogger("scitq")
    log.addHandler(logging.NullHandler())  # what it would say into the picture stands in its first line
    with Server(target.server, get_timeout=target.timeout or 5, patience_s=1.0) as server:
        _draw(server)


def _draw(server: Any) -> None:
    from rich.console import Console, ConsoleDimensions
    from rich.live import Live

    from scitq.cli.watch_eyes import Eyes
    from scitq.cli.watch_screen import Screen

    woken, wake = os.pipe()
    os.set_blocking(wake, False)

    def stir(*_: object) -> None:
        with contextlib.suppress(BlockingIOError):
            os.write(wake, b".")

    console = Console(highlight=False)
    eyes = Eyes(server, PAUSE_S, stir)
    screen = Screen(server.url)
    signal.signal(signal.SIGWINCH, stir)
    for ending in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, _leave)
    signal.signal(signal.SIGTSTP, signal.SIG_IGN)  # a shell would be left with our screen
    eyes.start()
    with _by_key(), Live(console=console, screen=True, auto_refresh=False) as live:
        while not screen.ended:
            console.size = ConsoleDimensions(*os.get_terminal_size(sys.stdout.fileno()))  # whatever COLUMNS says
            live.update(screen.drawn(eyes.picture(), console.width, console.height, time.monotonic()), refresh=True)
            ready, _, _ = select.select([sys.stdin, woken], [], [], PAUSE_S)
            if woken in ready:
                os.read(woken, 4_096)
            if sys.stdin in ready:
                data = os.read(sys.stdin.fileno(), 1_024)
                if not data:  # the terminal has gone
                    return
                for key in keys(data):
                    wish = screen.pressed(key, eyes.picture())
                    if wish is not None:
                        eyes.do(wish)
            eyes.look_at(screen.batch)


def _leave(number: int, _: object) -> None:
    """Ended from elsewhere: the terminal is given back as it was."""
    sys.exit(SIGNALLED + number)


def keys(data: bytes) -> Iterator[str]:
    """What was pressed: a name, or the character itself. Text that was pasted is one key after the other."""
    while data:
        for size in (4, 3):
            if data[:size] in KEYS and data.startswith(b"\x1b"):
                yield KEYS[data[:size]]
                data = data[size:]
                break
        else:
            if data[:1] in KEYS:
                yield KEYS[data[:1]]
                unknown = data.startswith((b"\x1b[", b"\x1bO"))  # the rest belongs to a key that we do not know
                data = b"" if unknown else data[1:]
                continue
            size = next((size for size in (1, 2, 3, 4) if _is_text(data[:size])), 0)
            if size and (char := data[:size].decode()).isprintable():
                yield char
            data = data[size or 1 :]


def _is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


@contextlib.contextmanager
def _by_key() -> Iterator[None]:
    """Keys come as they are pressed, and are not shown."""
    before = termios.tcgetattr(sys.stdin)
    try:
        tty.setcbreak(sys.stdin)
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)
