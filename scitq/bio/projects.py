"""The samples of a project, asked of the public archives that keep its runs: ENA, or NCBI's SRA."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from scitq.bio.samples import BioException, Run, Samples, grouped
from scitq.fetch import Cancellation, Patience, ena, ncbi

PATIENCE: Final = Patience(tries=5)
"""Somebody waits for it: about a quarter of a minute, and as long as the archive asks for."""
ENA_FIELDS: Final = (
    "run_accession", "sample_accession", "secondary_sample_accession", "sample_alias", "sample_title",
    "experiment_accession", "study_accession", "secondary_study_accession", "tax_id", "scientific_name",
    "instrument_platform", "instrument_model", "library_name", "library_layout", "library_strategy", "library_source",
    "library_selection", "nominal_length", "read_count", "base_count", "center_name", "first_public",
    "fastq_bytes", "fastq_md5", "fastq_ftp", "fastq_aspera", "submitted_ftp", "submitted_md5",
)  # fmt: skip
SRA_NEEDED: Final = ("BioSample", "LibraryLayout", "LibraryStrategy")
_ACCESSION: Final = re.compile(r"[A-Z]{3,6}[0-9]{1,12}")
_WORDS: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def ena_get_samples(bioproject: str, library_layout: str | None = None, library_strategy: str | None = None) -> Samples:
    """The runs of a project by their sample, as ENA has them; only those of that layout and that strategy."""
    accession = _checked(bioproject)
    rows = ena.report(accession, ENA_FIELDS, Cancellation(), PATIENCE)
    runs = [Run(**row, uri=f"run+fastq://{row['run_accession']}") for row in rows]
    return _chosen(runs, f"ENA knows no runs of {accession}", library_layout, library_strategy)


def sra_get_samples(bioproject: str, library_layout: str | None = None, library_strategy: str | None = None) -> Samples:
    """The same as NCBI has them: the columns of its runinfo, as `library_layout`, `bio_sample`, `tax_id`."""
    accession = _checked(bioproject)
    rows = ncbi.runinfo(accession, SRA_NEEDED, Cancellation(), PATIENCE)
    runs = [_of_sra({snake(name): value for name, value in row.items()}) for row in rows]
    return _chosen(runs, f"SRA knows no runs of {accession}", library_layout, library_strategy)


def snake(name: str) -> str:
    """`LibraryLayout` as `library_layout`, `SRAStudy` as `sra_study`, `size_MB` as `size_mb`."""
    return _WORDS.sub("_", name).lower()


def _of_sra(row: dict[str, str]) -> Run:
    run = row["run"]
    return Run(**row, run_accession=run, sample_accession=row["bio_sample"], uri=f"run+fastq@sra://{run}")


def _chosen(runs: Iterable[Run], nothing: str, layout: str | None, strategy: str | None) -> Samples:
    """`nothing`: what is wrong where there are none; that a filter leaves none is not."""
    runs = list(runs)
    if not runs:
        raise BioException(nothing)
    return grouped(
        run
        for run in runs
        if (layout is None or run.library_layout == layout) and (strategy is None or run.library_strategy == strategy)
    )


def _checked(accession: str) -> str:
    found = accession.strip().upper()
    if not _ACCESSION.fullmatch(found):
        raise BioException(f"{accession[:40]!r} is no accession of a project, as PRJEB37101 is")
    return found
