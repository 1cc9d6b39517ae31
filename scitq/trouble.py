"""One entry of the index of what can go wrong: see `explained.py`."""

from __future__ import annotations

from typing import NamedTuple


class Trouble(NamedTuple):
    """`status`: that of the HTTP answer; `error`: the class in `scitq.errors`, or one
    of another module by its whole name; `said`: a sentence of this kind."""

    word: str
    means: str
    remedy: str
    status: int | None = None
    error: str | None = None
    said: str = ""
