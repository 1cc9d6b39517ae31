"""A sample, as it is handed from one function to the next: its name, and its runs."""

from __future__ import annotations

from collections.abc import Iterable
from types import SimpleNamespace

from scitq.errors import BioException

__all__ = ["BioException", "Run", "Samples", "grouped"]


class Run(SimpleNamespace):
    """One run, or one file, with what its source says of it as attributes.

    All have `sample_accession`, `uri` (what a task takes as input) and `library_layout` (PAIRED or SINGLE).
    """

    sample_accession: str
    uri: str
    library_layout: str


Samples = dict[str, list[Run]]


def grouped(runs: Iterable[Run]) -> Samples:
    """By their sample, in the order in which they come."""
    samples: Samples = {}
    for run in runs:
        samples.setdefault(run.sample_accession, []).append(run)
    return samples
