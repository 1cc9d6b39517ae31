"""Where each program begins. Ctrl-C ends it without a traceback also while it is still being loaded."""

from __future__ import annotations

import importlib
import signal


def _begin(module: str) -> None:
    hears = signal.getsignal(signal.SIGINT) is signal.default_int_handler  # not so in the background of a script
    if hears:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    main = importlib.import_module(f"scitq.cli.{module}").main
    if hears:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    main()


def scitq() -> None:
    _begin("main")


def fetch() -> None:
    _begin("fetch")


def launch() -> None:
    _begin("launch")


def manage() -> None:
    _begin("manage")


def server() -> None:
    _begin("server")


def worker() -> None:
    _begin("worker")
