"""What NCBI says about the runs of the Sequence Read Archive: its runinfo table, by way of esearch and efetch."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import Final

from scitq.fetch import documents
from scitq.fetch.errors import FetchErrorNoRepeat, NotFound
from scitq.fetch.services import EUTILS, service
from scitq.fetch.tries import PATIENT, Patience
from scitq.fetch.watch import Cancellation

PORTION: Final = 5_000
"""Runs for which one request asks: NCBI gives no more than ten thousand."""
PAUSE_S: Final = 0.34
"""Between two requests: NCBI takes three a second of one address, and ten of one key (`NCBI_API_KEY`, as its own
programs have it)."""
PAUSE_WITH_KEY_S: Final = 0.11
_COUNT: Final = re.compile(r"<Count>(\d{1,9})</Count>")
_KEY: Final = re.compile(r"<QueryKey>(\d{1,9})</QueryKey>")
_ENVIRONMENT: Final = re.compile(r"<WebEnv>([\w.@:|-]{1,500})</WebEnv>")
RUN: Final = re.compile(r"[EDS]RR[0-9]{1,12}")


def runinfo(
    accession: str, needed: Sequence[str], cancellation: Cancellation, patience: Patience = PATIENT
) -> list[dict[str, str]]:
    """One row for each run that NCBI finds by an accession; none where it finds nothing."""
    secret = os.environ.get("NCBI_API_KEY")
    own = {"tool": "scitq"} | ({"api_key": secret} if secret else {})
    asked = own | {"db": "sra", "term": accession, "usehistory": "y", "retmax": "0"}
    text, uri = documents.read(f"{service(EUTILS)}/esearch.fcgi", asked, cancellation, patience)
    count = _COUNT.search(text)
    if count is None:
        raise FetchErrorNoRepeat(f"{uri.shown} answers with nothing that could be understood")
    if int(count[1]) == 0:
        return []
    key, environment = _KEY.search(text), _ENVIRONMENT.search(text)
    if key is None or environment is None:
        raise FetchErrorNoRepeat(f"{uri.shown} answers without the place of what it found")
    rows: list[dict[str, str]] = []
    for start in range(0, int(count[1]), PORTION):
        cancellation.wait(PAUSE_WITH_KEY_S if secret else PAUSE_S)
        asked = own | {
            "db": "sra", "query_key": key[1], "WebEnv": environment[1], "rettype": "runinfo", "retmode": "text",
            "retstart": str(start), "retmax": str(PORTION),
        }  # fmt: skip
        found = documents.ask(f"{service(EUTILS)}/efetch.fcgi", asked, ["Run", *needed], cancellation, patience, ",")
        rows += [row for row in found if RUN.fullmatch(row["Run"])]  # an experiment may be without a run
    return rows


def runs_of(accession: str, cancellation: Cancellation, patience: Patience = PATIENT) -> list[str]:
    """The runs that an accession stands for: itself, or those of a sample, an experiment, a study."""
    if RUN.fullmatch(accession):
        return [accession]
    found = sorted({row["Run"] for row in runinfo(accession, [], cancellation, patience)})
    if not found:
        raise NotFound(f"SRA: {accession} is not known there")
    return found
