"""How deep a sample is sequenced, or is to be: `10M`, `2x10M`, as people write it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from scitq.bio.samples import BioException

_UNITS: Final = {"": 1, "k": 1_000, "m": 1_000_000, "g": 1_000_000_000}
_WRITTEN: Final = re.compile(
    r"(?:(?P<before>[12])\s*x\s*)?(?P<number>\d{1,15}(?:\.\d{1,9})?)\s*(?P<unit>[kmg]?)(?:\s*x\s*(?P<behind>[12]))?",
    re.IGNORECASE | re.ASCII,
)


@dataclass(frozen=True, repr=False)
class Depth:
    """A number of reads; `paired`: whether each has a mate, or None where that is not said."""

    read_number: int
    paired: bool | None = None

    @property
    def single(self) -> bool | None:
        """Whether reads have no mate, or None where that is not said."""
        return None if self.paired is None else not self.paired

    @property
    def total_read_number(self) -> int:
        """With the mates."""
        return self.read_number * 2 if self.paired else self.read_number

    def to_tuple(self) -> tuple[int, bool | None]:
        return self.read_number, self.paired

    def __repr__(self) -> str:
        """As one would write it."""
        factor = next((unit for unit in "gmk" if self.read_number and self.read_number % _UNITS[unit] == 0), "")
        times = "" if self.paired is None else "2x" if self.paired else "1x"
        return f"{times}{self.read_number // _UNITS[factor]}{factor.upper() if factor != 'k' else factor}"


def user_friendly_depth(text: str) -> Depth:
    """`10M`, `2x10M`, `10Mx2`, `1x5k`, `2.5M`: k, m and g are thousands, millions and billions of reads."""
    found = _WRITTEN.fullmatch(text.strip())
    if found is None or (found["before"] and found["behind"]):
        raise BioException(f"{text[:40]!r} is no depth: write it as 10M, 2x10M or 1x500k")
    whole, _, part = found["number"].partition(".")
    unit = _UNITS[found["unit"].lower()]
    reads, rest = divmod(int(whole + part) * unit, 10 ** len(part))
    if rest:
        raise BioException(f"{text[:40]!r} is not a whole number of reads")
    times = found["before"] or found["behind"]
    return Depth(reads, None if times is None else times == "2")
