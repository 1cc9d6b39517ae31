"""How much may come out of an archive: a small one that fills the disk, or a million names, is no data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from scitq.fetch.errors import NotSafe


@dataclass(frozen=True, slots=True)
class Limits:
    """What comes out may have `free_bytes` plus `ratio` times what was fetched, and so many entries."""

    ratio: int = 250
    free_bytes: int = 4 << 30
    entries: int = 1_000_000


LIMITS: Final = Limits()


class Budget:
    """Of one fetch with all its actions, so that archives within archives do not multiply."""

    def __init__(self, limits: Limits, fetched_bytes: int) -> None:
        self._allowed_bytes = self._left_bytes = limits.free_bytes + limits.ratio * fetched_bytes
        self._entries = self._left_entries = limits.entries

    def can_spend(self, count: int) -> None:
        """Raises if so many bytes more are too many."""
        if count > self._left_bytes:
            raise NotSafe(
                f"more than {self._allowed_bytes} bytes come out of the archive, which is too much for its size"
                " (give other limits if you trust it)"
            )

    def spend(self, count: int) -> None:
        self.can_spend(count)
        self._left_bytes -= count

    def entry(self) -> None:
        """One more name."""
        self._left_entries -= 1
        if self._left_entries < 0:
            raise NotSafe(f"the archive has more than {self._entries} entries (give other limits if you trust it)")
