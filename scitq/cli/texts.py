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
