"""Making the store where there is none, by whichever of a server's processes comes first."""

from __future__ import annotations

import logging
import time
from typing import Final

from scitq.bootstrap import service
from scitq.bootstrap.claiming import leave_if_told
from scitq.errors import Rejected, SchemaMismatch, StoreError, StoreUnavailable
from scitq.store.health import exists
from scitq.store.journal import open_journal
from scitq.store.output import open_output
from scitq.store.upgrade import upgrade
from scitq.store.urls import shown, store_urls

log = logging.getLogger(__name__)

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.2, 5.0
MAKE_S: Final = 10.0
"""How long a schema that is not ours may be one that another process is making at this moment."""


def prepare_patiently(store: str | None) -> None:
    """A database that is away is waited for: it may be starting too."""
    pause_s = FIRST_PAUSE_S
    while True:
        try:
            return prepare(store)
        except StoreUnavailable as error:
            log.warning("the server waits for its store", extra={"reason": str(error).partition("\n")[0]})
            service.tell(service.doing("waits for its store"))
            _rest(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)


def prepare(store: str | None) -> None:
    """Make the store where there is none. What is wrong with it is said here, once, and not by each of the parts."""
    made_by = time.monotonic() + MAKE_S
    while True:
        leave_if_told()
        try:
            return _prepare(store)
        except SchemaMismatch:
            if store_urls(store).events.startswith("sqlite:") or time.monotonic() > made_by:
                raise
            _rest(FIRST_PAUSE_S)


def _prepare(store: str | None) -> None:
    urls = store_urls(store)
    left_over = _is_there(urls.output)  # looked for first: who makes the store makes the log before it
    if not exists(store):
        if left_over:  # it would be shown as that of the new log's executions, which count from 1 too
            raise Rejected(
                f"the log {shown(urls.events)} is gone, and what it is the log of is still there: bring it back from "
                f"a copy, or move {shown(urls.output)} away too, to begin anew"
            )
        upgrade(store)
    open_journal(urls.events).close()
    open_output(urls.output).close()


def _is_there(output: str) -> bool:
    try:
        open_output(output).close()
    except StoreUnavailable:
        raise
    except StoreError:
        return False
    return True


def _rest(seconds: float) -> None:
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        leave_if_told()
        time.sleep(min(left, FIRST_PAUSE_S))
