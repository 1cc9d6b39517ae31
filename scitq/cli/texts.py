"""Texts that others chose, made fit for a terminal."""

from __future__ import annotations

from typing import Final

KEPT: Final = "\n\t"
STRANGE: Final = "\N{REPLACEMENT CHARACTER}"


def clean(text: str, kept: str = "") -> str:
    """Without the characters that steer a terminal: whoever submits a task chooses some of this text."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() or char in kept else STRANGE for char in text)


def middle(text: str, most: int) -> str:
    """No longer than that: what is cut out is the middle, because a command ends with what tells it from others."""
    if len(text) <= most:
        return text
    head = (most - 1) * 2 // 3
    tail = most - 1 - head
    return text[:head] + "\N{HORIZONTAL ELLIPSIS}" + (text[-tail:] if tail > 0 else "") if most > 0 else ""
