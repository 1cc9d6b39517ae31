"""What the European Nucleotide Archive says about runs: its file report, a table with one line for each run.

Files are listed as `host/path`, several in one field with `;` between them, their MD5s in another in the same order.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from scitq.fetch import documents
from scitq.fetch.errors import Corrupt, NotFound
from scitq.fetch.services import ENA_API, service
from scitq.fetch.tries import PATIENT, Patience
from scitq.fetch.watch import Cancellation

Kind = Literal["fastq", "submitted"]
_MD5: Final = re.compile(r"[0-9a-fA-F]{32}")
_FIRST: Final = re.compile(r"[_.-]R?1(?:_001)?\.f(?:ast)?q(?:\.\w+)?")
_SECOND: Final = re.compile(r"[_.-]R?[2-9](?:_001)?\.f(?:ast)?q(?:\.\w+)?")


@dataclass(frozen=True, slots=True)
class File:
    """One file of a run, as ENA lists it: `ftp` and `aspera` are where it is, without protocol."""

    run: str
    name: str
    ftp: str
    aspera: str
    md5: str | None
    size: int | None


def report(
    accession: str, fields: Sequence[str], cancellation: Cancellation, patience: Patience = PATIENT
) -> list[dict[str, str]]:
    """One row for each run of a run, experiment, sample, study or project; none where ENA does not know it."""
    asked = {"accession": accession, "result": "read_run", "fields": ",".join(fields), "format": "tsv", "limit": "0"}
    return documents.ask(f"{service(ENA_API)}/filereport", asked, fields, cancellation, patience)


def files(accession: str, kind: Kind, cancellation: Cancellation, patience: Patience = PATIENT) -> list[File]:
    """All files of this kind. NotFound where ENA has none: of many runs only SRA has reads."""
    columns = ["run_accession", *(f"{kind}_{what}" for what in ("ftp", "aspera", "md5", "bytes"))]
    rows = report(accession, columns, cancellation, patience)
    found = [file for row in rows for file in _of_row(row, kind)]
    if not found:
        known = "has no files of that kind" if rows else "is not known there"
        raise NotFound(f"ENA: {accession} {known}")
    names = [file.name for file in found]
    if len(set(names)) == len(names):
        return found
    return [File(one.run, f"{one.run}/{one.name}", one.ftp, one.aspera, one.md5, one.size) for one in found]


def first_reads(names: Sequence[str]) -> list[str]:
    """Of the FASTQ files of one run, those without second reads: R1, or all where nothing is called so."""
    first = [name for name in names if _FIRST.search(name)]
    return first or [name for name in names if not _SECOND.search(name)]


def _of_row(row: dict[str, str], kind: Kind) -> Iterator[File]:
    places = _listed(row, f"{kind}_ftp")
    md5s, sizes, aspera = (_listed(row, f"{kind}_{what}") for what in ("md5", "bytes", "aspera"))
    run = row["run_accession"]
    if not run.isalnum():
        raise Corrupt(f"ENA: {run[:40]!r} is no run")
    for told in (md5s, sizes, aspera):
        if told and len(told) != len(places):
            raise Corrupt(f"ENA: {run} has {len(places)} files and {len(told)} checksums, sizes or places of them")
    for number, place in enumerate(places):
        name = posixpath.basename(place)
        host, slash, _ = place.partition("/")
        if not slash or not host or name in ("", ".", "..") or "\0" in place:
            raise Corrupt(f"ENA: {run} has a file at {place[:80]!r}, which is no place")
        md5 = md5s[number] if md5s else ""
        if md5 and not _MD5.fullmatch(md5):
            raise Corrupt(f"ENA: {run} has a file with the MD5 {md5[:40]!r}, which is none")
        size = sizes[number] if sizes else ""
        fits = size.isdecimal() and len(size) < 20
        at = aspera[number] if aspera else ""
        yield File(run, name, place, at, md5.lower() or None, int(size) if fits else None)


def _listed(row: dict[str, str], column: str) -> list[str]:
    return [one.strip() for one in row[column].split(";") if one.strip()]
