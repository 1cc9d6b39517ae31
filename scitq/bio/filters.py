"""Choosing among samples: by their layout, or by anything that is known of them. What was given is never changed."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from typing import Final

from scitq.bio.samples import BioException, Run, Samples
from scitq.fetch import URI
from scitq.fetch.uri import OF_RUNS

_MISSING: Final = object()
_SECOND: Final = re.compile(r"2(?:_001)?(?:\.[A-Za-z]\w*)+$")


def find_library_layout(samples: Samples) -> str:
    """PAIRED or SINGLE, whichever more runs are."""
    layouts = Counter(run.library_layout for runs in samples.values() for run in runs)
    paired, single = layouts["PAIRED"], layouts["SINGLE"]
    if paired == single:
        raise BioException(
            f"{paired} runs are PAIRED and as many SINGLE: choose yourself, with filter_by_layout(…, paired=…)"
        )
    return "PAIRED" if paired > single else "SINGLE"


def filter_by_layout(samples: Samples, paired: bool, use_only_r1: bool = True) -> Samples:
    """Paired: the PAIRED runs. Else the SINGLE ones and, with `use_only_r1`, of the others their first reads."""
    if paired:
        return _kept(samples, lambda run: run if run.library_layout == "PAIRED" else None)
    return _kept(samples, _first if use_only_r1 else lambda run: run if run.library_layout == "SINGLE" else None)


def filter_by(samples: Samples, **attributes: object) -> Samples:
    """The runs that have all these attributes, as `library_strategy="WGS"`; a name that no run has is refused."""
    runs = [run for each in samples.values() for run in each]
    for name in attributes:
        if runs and not any(hasattr(run, name) for run in runs):
            raise BioException(f"no run has {name}: they have {', '.join(sorted(vars(runs[0])))}")
    wanted = attributes.items()
    return _kept(
        samples, lambda run: run if all(getattr(run, name, _MISSING) == value for name, value in wanted) else None
    )


def _first(run: Run) -> Run | None:
    """It with its first reads only; None for a file of second reads."""
    if run.library_layout != "PAIRED":
        return run
    uri = URI(run.uri)
    if uri.protocol == OF_RUNS[0]:
        return run if "filter_r1" in uri.options else _with(run, run.uri.replace("://", "@filter_r1://", 1))
    return None if _SECOND.search(uri.name) else _with(run, run.uri)


def _with(run: Run, uri: str) -> Run:
    return Run(**{**vars(run), "uri": uri, "library_layout": "SINGLE"})


def _kept(samples: Samples, kept: Callable[[Run], Run | None]) -> Samples:
    """Those that are left of each sample; a sample without any is left out."""
    found = {name: [one for run in runs if (one := kept(run)) is not None] for name, runs in samples.items()}
    return {name: runs for name, runs in found.items() if runs}
