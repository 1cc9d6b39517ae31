"""What somebody may have meant: names that are nearly the one that was typed."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Final

SHOWN: Final = 3
ALIKE: Final = 0.6


def near(word: str, known: Iterable[str]) -> list[str]:
    """The known names that are most like it, the likeliest first; how they are capitalised does not matter."""
    lower = {name.lower(): name for name in known}
    return [lower[name] for name in difflib.get_close_matches(word.lower()[:200], lower, SHOWN, ALIKE)]


def hint(word: str, known: Iterable[str]) -> str:
    """To be put behind "there is no …": what may be meant, or nothing."""
    found = near(word, known)
    return f": did you mean {' or '.join(found)}?" if found else ""


def no_such(kind: str, word: str, known: Iterable[str]) -> str:
    """The sentence about a name that nothing has."""
    return f"there is no {kind} called {word!r}{hint(word, known)}"
