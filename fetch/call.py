"""What every verb has around it: progress, a bar if it is wanted, and a way to be called off."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from scitq.fetch.tries import Patience
from scitq.fetch.watch import Cancellation, Progress, Watch

Tell = Callable[[Progress], object]


@contextmanager
def one_call(
    show_progress: bool, progress: Tell | None, cancellation: Cancellation | None, patience: Patience
) -> Iterator[Watch]:
    """Its cancellation is its own, and follows the caller's: a file that fails may so end what runs beside it."""
    own = Cancellation()
    with ExitStack() as stack:
        if cancellation is not None:
            stack.enter_context(cancellation.cutting(own.cancel))
        if show_progress and sys.stderr.isatty():
            from scitq.fetch.bars import bars

            progress = stack.enter_context(bars(progress))
        yield Watch(progress, own, patience.stall_s)
