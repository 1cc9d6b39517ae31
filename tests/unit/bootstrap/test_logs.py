"""What the log looks like, whoever has a say in it."""

from __future__ import annotations

import asyncio
import logging
import sys

import pytest

from scitq.bootstrap.logs import Sentences, set_up
from scitq.config import load


def test_what_others_sent_stays_in_its_line() -> None:
    record = logging.makeLogRecord({"msg": "a request", "route": "/x\r\n2026 ERROR forged\x1b[2J\u2028", "count": 2})
    assert Sentences().format(record).endswith("a request (route=/x  2026 ERROR forged [2J , count=2)")


def test_of_uvicorn_only_what_concerns_us_is_heard(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root, own = logging.getLogger(), logging.getLogger("uvicorn.error")
    monkeypatch.setattr(root, "handlers", [])
    monkeypatch.setattr(root, "level", root.level)
    monkeypatch.setattr(own, "filters", [])
    try:
        set_up(load({}, {}), of="test")
        own.warning("Invalid HTTP request received.")
        own.error("Cancel %s running task(s), timeout graceful shutdown exceeded", 3)
        own.error("ASGI callable returned without completing response.")
        for error in (asyncio.CancelledError("stopped"), ValueError("ours")):
            try:
                raise error
            except BaseException:
                own.error("Exception in ASGI application", exc_info=sys.exc_info())
    finally:
        logging.captureWarnings(False)
    told = capsys.readouterr().err
    assert "ValueError: ours" in told and "Cancel" not in told and "ASGI callable" not in told and "Invalid" not in told
