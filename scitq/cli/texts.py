"""Texts that others chose, made fit for a terminal."""

from __future__ import annotations

import unicodedata
from typing import Final

KEPT: Final = "\n\t"
STRANGE: Final = "\N{REPLACEMENT CHARACTER}"


def clean(text: str, kept: str = "") -> str:
    """Without the characters that steer a terminal: whoever submits a task chooses some of this text."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() or char in kept else STRANGE for char in text)


def cells(text: str) -> int:
    """How wide a terminal shows it: some signs take two columns, and some none."""
    return len(text) if text.isascii() else sum(map(_cells, text))


def _cells(char: str) -> int:
    if unicodedata.combining(char) or char in "\u200d\ufe0f":
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def left(text: str, width: int) -> str:
    """With spaces behind it, up to that width."""
    return text + " " * (width - cells(text))


def right(text: str, width: int) -> str:
    """With spaces before it, up to that width."""
    return " " * (width - cells(text)) + text


def middle(text: str, most: int) -> str:
    """No wider than that: what is cut out is the middle, because a command ends with what tells it from others."""
    if cells(text) <= most:
        return text
    if most <= 0:
        return ""
    head = (most - 1) * 2 // 3
    return _begin(text, head) + "\N{HORIZONTAL ELLIPSIS}" + _begin(text[::-1], most - 1 - head)[::-1]


def _begin(text: str, room: int) -> str:
    """As much of it as fits."""
    taken = 0
    for char in text:
        room -= _cells(char)
        if room < 0:
            break
        taken += 1
    return text[:taken]
