"""The public archives on this machine: ENA's portal and its files, NCBI's eutils and SRA's bucket, at one address.

They answer in the formats of the real ones, as those document them, and fail as they are told: each of `portal`,
`search` and `table` has the faults of a file (see `web_files.py`), and so has each file.
"""

from __future__ import annotations

import csv
import hashlib
import io
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qs, urlsplit

from tests.services.web_files import Served, WebFiles

_COLUMNS: Final = """
    Run ReleaseDate LoadDate spots bases spots_with_mates avgLength size_MB AssemblyName download_path Experiment
    LibraryName LibraryStrategy LibrarySelection LibrarySource LibraryLayout InsertSize InsertDev Platform Model
    SRAStudy BioProject Study_Pubmed_id ProjectID Sample BioSample SampleType TaxID ScientificName SampleName
    g1k_pop_code source g1k_analysis_group Subject_ID Sex Disease Tumor Affection_Status Analyte_Type
    Histological_Type Body_Site CenterName Submission dbgap_study_accession Consent RunHash ReadHash
"""
RUNINFO: Final = _COLUMNS.split()
_FIELDS: Final = """
    study_accession secondary_study_accession sample_accession secondary_sample_accession experiment_accession
    run_accession submission_accession tax_id scientific_name instrument_platform instrument_model library_name
    nominal_length library_layout library_strategy library_source library_selection read_count base_count center_name
    first_public last_updated experiment_title study_title study_alias experiment_alias run_alias fastq_bytes fastq_md5
    fastq_ftp fastq_aspera fastq_galaxy submitted_bytes submitted_md5 submitted_ftp submitted_aspera submitted_galaxy
    submitted_format sra_bytes sra_md5 sra_ftp sra_aspera sra_galaxy sample_alias broker_name sample_title nominal_sdev
    first_created
"""
FIELDS: Final = _FIELDS.split()
ENVIRONMENT: Final = "MCID_655b0d"


@dataclass
class Run:
    """One run, as both archives know it. `files` and `submitted`: what is in them, by name."""

    accession: str
    files: dict[str, bytes] = field(default_factory=dict)
    submitted: dict[str, bytes] = field(default_factory=dict)
    sample: str = "SAMEA6513017"
    study: str = "PRJEB37101"
    layout: str = "PAIRED"
    strategy: str = "WGS"
    more: dict[str, str] = field(default_factory=dict)
    """Other columns of ENA's report."""

    def place(self, kind: str, name: str) -> str:
        return f"vol1/{kind}/{self.accession[:6]}/{self.accession}/{name}"

    def report(self, host: str, aspera: str) -> dict[str, str]:
        """ENA's line."""
        line = {
            "run_accession": self.accession, "sample_accession": self.sample, "study_accession": self.study,
            "experiment_accession": self.accession.replace("RR", "RX"), "secondary_sample_accession": "",
            "library_layout": self.layout, "library_strategy": self.strategy, "scientific_name": "Homo sapiens",
            "instrument_platform": "ILLUMINA", "read_count": "100", "base_count": "15000",
        }  # fmt: skip
        for kind, files in (("fastq", self.files), ("submitted", self.submitted)):
            places = [self.place(kind, name) for name in files]
            line |= {
                f"{kind}_ftp": ";".join(f"{host}/{place}" for place in places),
                f"{kind}_aspera": ";".join(f"{aspera}:/{place}" for place in places),
                f"{kind}_md5": ";".join(hashlib.md5(content).hexdigest() for content in files.values()),
                f"{kind}_bytes": ";".join(str(len(content)) for content in files.values()),
            }
        return line | self.more

    def runinfo(self) -> list[str]:
        """NCBI's line."""
        known = {
            "Run": self.accession, "LibraryLayout": self.layout, "LibraryStrategy": self.strategy,
            "BioSample": self.sample, "BioProject": self.study, "SRAStudy": "ERP1", "Sample": "ERS1", "TaxID": "9606",
            "ScientificName": "Homo sapiens", "spots": "100", "size_MB": "1", "SampleName": "gut, of donor 1",
        }  # fmt: skip
        return [known.get(name, "") for name in RUNINFO]


class Archives(WebFiles):
    """`add` what they know. Each run's files are at `<url>/vol1/…`, as the archive's own over HTTP."""

    def __init__(self) -> None:
        super().__init__()
        self.runs: list[Run] = []
        self.portal, self.search, self.table = Served(b""), Served(b""), Served(b"")
        self.host = self.url.removeprefix("http://")
        self.aspera = "fasp.sra.ebi.ac.uk"
        self.answers: dict[str, bytes] = {}
        """Instead of what would be right, by the last part of the path."""
        self.files = _Files(self)

    def settings(self) -> dict[str, str]:
        """What makes scitq ask here."""
        return {
            "SCITQ_ENA_API": f"{self.url}/ena/portal/api",
            "SCITQ_ENA_FILES": "http://",
            "SCITQ_SRA_FILES": f"{self.url}/sra",
            "SCITQ_EUTILS": f"{self.url}/entrez/eutils",
        }

    def add(self, run: Run, **how: object) -> Run:
        """`how` its files are served."""
        self.runs.append(run)
        for kind, files in (("fastq", run.files), ("submitted", run.submitted)):
            for name, content in files.items():
                self.serve(run.place(kind, name), content, **how)
        return run

    def served(self, run: Run, name: str, kind: str = "fastq") -> Served:
        return self.files[f"/{run.place(kind, name)}"]

    def asked_for(self, end: str) -> int:
        """How often a path with that end was asked for."""
        return sum(urlsplit(request.path).path.endswith(end) for request in self.requests)

    def answer(self, path: str, asked: dict[str, str]) -> Served | None:
        verb = path.rpartition("/")[2]
        kept, write = {
            "filereport": (self.portal, self._report),
            "esearch.fcgi": (self.search, self._found),
            "efetch.fcgi": (self.table, self._runinfo),
        }.get(verb, (None, None))
        if kept is None or write is None:
            return None
        content = self.answers[verb] if verb in self.answers else write(asked)
        if content is None:
            return Served(b"", refusals=[(400, {})])
        kept.content, kept.etag = content, None
        return kept

    def _report(self, asked: dict[str, str]) -> bytes | None:
        assert asked["result"] == "read_run" and asked["format"] == "tsv"
        columns = asked["fields"].split(",")
        lines = [run.report(self.host, self.aspera) for run in self.runs if self._is(run, asked["accession"])]
        if not set(columns) <= set(FIELDS):
            return None
        rows = [columns, *([line.get(name, "") for name in columns] for line in lines)]
        return "".join("\t".join(row) + "\n" for row in rows).encode()

    def _found(self, asked: dict[str, str]) -> bytes:
        assert asked["db"] == "sra" and asked["usehistory"] == "y"
        count = sum(self._is(run, asked["term"]) for run in self.runs)
        where = f"<QueryKey>1</QueryKey><WebEnv>{ENVIRONMENT}:{asked['term']}</WebEnv>" if count else ""
        xml = f"<eSearchResult><Count>{count}</Count><RetMax>0</RetMax>{where}<IdList/></eSearchResult>"
        return f'<?xml version="1.0" encoding="UTF-8" ?>\n{xml}\n'.encode()

    def _runinfo(self, asked: dict[str, str]) -> bytes:
        assert (asked["rettype"], asked["query_key"]) == ("runinfo", "1")
        term = asked["WebEnv"].removeprefix(f"{ENVIRONMENT}:")
        start, most = int(asked["retstart"]), int(asked["retmax"])
        chosen = [run for run in self.runs if self._is(run, term)][start : start + most]
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([RUNINFO, *(run.runinfo() for run in chosen)])
        return f"{text.getvalue()}\n".encode()

    @staticmethod
    def _is(run: Run, accession: str) -> bool:
        return accession in (run.accession, run.sample, run.study)


class _Files(dict[str, Served]):
    """Those that were added, and what is computed for a question."""

    def __init__(self, archives: Archives) -> None:
        super().__init__()
        self._archives = archives

    def get(self, path: str, default: Served | None = None) -> Served | None:  # type: ignore[override]
        where = urlsplit(path)
        asked = {name: values[0] for name, values in parse_qs(where.query).items()}
        return self._archives.answer(where.path, asked) or super().get(where.path, default)
