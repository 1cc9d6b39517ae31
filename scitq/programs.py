"""Where each program begins. Ctrl-C ends it without a traceback also while it is still being loaded."""

from __future__ import annotations

import importlib
import signal
from functools import partial


def _begin(module: str) -> None:
    hears = signal.getsignal(signal.SIGINT) is signal.default_int_handler  # not so in the background of a script
    if hears:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    main = importlib.import_module(f"scitq.cli.{module}").main
    if hears:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    main()


scitq = partial(_begin, "main")
fetch = partial(_begin, "fetch")
launch = partial(_begin, "launch")
manage = partial(_begin, "manage")
server = partial(_begin, "server")
worker = partial(_begin, "worker")
