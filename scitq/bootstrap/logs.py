"""Where logs go: stderr for people, or a file that begins anew when it is full."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Mapping
from logging.handlers import RotatingFileHandler
from typing import Any, Final

from scitq.config import Settings
from scitq.errors import Rejected

_OWN: Final = frozenset(vars(logging.makeLogRecord({})) | {"message": None, "asctime": None, "taskName": None})
_QUIET: Final = {"alembic": logging.WARNING, "httpx": logging.WARNING, "httpcore": logging.WARNING,
                 "websockets": logging.WARNING, "uvicorn": logging.ERROR, "asyncio": logging.WARNING}  # fmt: skip
"""How much is heard of others. What uvicorn warns of, anybody can make it say as often as they like."""
_CUT_OFF: Final = ("Cancel %s running", "ASGI callable returned without completing response")


class Sentences(logging.Formatter):
    """A constant sentence, and behind it the details: `name=value`."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        details = _details(vars(record))
        text = super().format(record)
        if not details:
            return text
        first, newline, rest = text.partition("\n")
        return f"{first} ({details}){newline}{rest}"


class _NoCutOff(logging.Filter):
    """Answers that cannot go on, because the server stops or the store is away, are an error of each for uvicorn. We
    have said it ourselves."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        return not isinstance(error, asyncio.CancelledError) and not str(record.msg).startswith(_CUT_OFF)


def _details(fields: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={_in_a_line(value)}" for name, value in fields.items() if name not in _OWN)


def _in_a_line(value: Any) -> str:
    """What others sent must not look like a line of the log, nor do anything to a terminal."""
    return "".join(letter if letter.isprintable() else " " for letter in str(value))


def set_up(settings: Settings, *, of: str) -> None:
    """For the process called `of`. What the settings warn of is its first words."""
    handler: logging.Handler
    if settings.log_file is None:
        handler = logging.StreamHandler(sys.stderr)
    else:
        try:
            handler = RotatingFileHandler(
                settings.log_file, maxBytes=settings.log_file_max_size, backupCount=settings.log_file_keep
            )
        except OSError as error:
            raise Rejected(f"the log {settings.log_file} cannot be written: {error.strerror}") from error
    handler.setFormatter(Sentences())
    logging.basicConfig(level=settings.log_level, handlers=[handler], force=True)
    logging.captureWarnings(True)
    for name, level in _QUIET.items():
        logging.getLogger(name).setLevel(max(level, logging.getLevelName(settings.log_level)))
    logging.getLogger("uvicorn.error").addFilter(_NoCutOff())
    log = logging.getLogger(of)
    for note in settings.notes:
        log.warning(note)
