"""Which files of a run hold first reads, and where an archive's files are said to be."""

import pytest

from scitq.config import for_fetch, load
from scitq.config.declared import Computed
from scitq.config.settings import NAMES
from scitq.errors import Malformed
from scitq.fetch.ena import first_reads
from scitq.fetch.services import DEFAULTS, places_of, service


@pytest.mark.parametrize(
    ("names", "first"),
    [
        (["ERR1_1.fastq.gz", "ERR1_2.fastq.gz"], ["ERR1_1.fastq.gz"]),
        (["ERR1.fastq.gz", "ERR1_1.fastq.gz", "ERR1_2.fastq.gz"], ["ERR1_1.fastq.gz"]),
        (["ERR1.fastq.gz"], ["ERR1.fastq.gz"]),
        (["ERR22.fastq"], ["ERR22.fastq"]),
        (["a_S1_L001_R1_001.fastq.gz", "a_S1_L001_R2_001.fastq.gz"], ["a_S1_L001_R1_001.fastq.gz"]),
        (["a.fastq.gz", "a_2.fastq.gz"], ["a.fastq.gz"]),
    ],
)
def test_first_reads_are_told_by_their_names(names: list[str], first: list[str]) -> None:
    assert first_reads(names) == first


def test_files_are_asked_for_where_the_archive_says_or_where_one_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SCITQ_ENA_FILES", raising=False)
    assert places_of("ftp.sra.ebi.ac.uk/vol1/a b|c") == [
        "ftp://ftp.sra.ebi.ac.uk/vol1/a b%7Cc", "https://ftp.sra.ebi.ac.uk/vol1/a%20b%7Cc"
    ]  # fmt: skip
    monkeypatch.setenv("SCITQ_ENA_FILES", "http://mirror/ena/ ftp://")
    assert places_of("ftp.sra.ebi.ac.uk/vol1/a") == ["http://mirror/ena/vol1/a", "ftp://ftp.sra.ebi.ac.uk/vol1/a"]
    monkeypatch.setenv("SCITQ_ENA_API", "http://here/api/")
    assert service("SCITQ_ENA_API") == "http://here/api"


def test_a_workers_settings_reach_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, default in DEFAULTS.items():
        monkeypatch.setenv(name, "whatever was set is set again at the end")
        monkeypatch.delenv(name)
        told = NAMES[name].default
        assert isinstance(told, Computed) and told.words == f"`{default}`"
    for_fetch(load(environ={"SCITQ_ENA_FILES": "https://mirror/ena ftp://"}, files=[]))
    assert places_of("host/vol1/a") == ["https://mirror/ena/vol1/a", "ftp://host/vol1/a"]
    for name, wrong in (("SCITQ_ENA_FILES", "mirror"), ("SCITQ_ENA_API", "ftp://x"), ("SCITQ_SRA_IMAGE", "--rm x")):
        with pytest.raises(Malformed, match=f"{name} .environment. must be"):
            load(environ={name: wrong}, files=[])
