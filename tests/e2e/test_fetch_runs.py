"""Sequencing runs from archives on this machine, which fail in every way in which the real ones do."""

from __future__ import annotations

import gzip
import hashlib
import os
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from scitq import fetch
from scitq.fetch.errors import (
    Corrupt,
    FetchError,
    FetchErrorNoRepeat,
    NotFound,
    NotInstalled,
    Unreachable,
    UnsupportedError,
)
from tests.conftest import miss
from tests.services.archive_programs import Programs, archive
from tests.services.archives import Archives, Run
from tests.services.ftp_files import FtpMissing, PythonFtp
from tests.services.web_files import Served

QUICK = fetch.Patience(tries=4, first_s=0.01, longest_s=0.05, stall_s=5.0)
R1, R2, ALONE = (random.Random(number).randbytes(300_000) for number in range(3))
BUSY = (503, {"Retry-After": "0"})
FASTQ = {"ERR3857002_1.fastq.gz": R1, "ERR3857002_2.fastq.gz": R2}


@pytest.fixture
def archives(monkeypatch: pytest.MonkeyPatch) -> Iterator[Archives]:
    with Archives() as server:
        for name, value in server.settings().items():
            monkeypatch.setenv(name, value)
        yield server


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Programs:
    return Programs(tmp_path, monkeypatch)


@pytest.fixture
def run(archives: Archives) -> Run:
    return archives.add(Run("ERR3857002", dict(FASTQ)))


def get(uri: str, folder: Path, **how: object) -> dict[str, bytes]:
    """What comes into a folder, and nothing else is left there."""
    fetch.get(uri, f"{folder}/here/", patience=QUICK, **how)  # type: ignore[arg-type]
    return {name: (folder / "here" / name).read_bytes() for name in os.listdir(folder / "here")}


@pytest.mark.parametrize("uri", ["run+fastq://ERR3857002", "run+fastq://ERR3857002/", "run+fastq@ftp://ERR3857002"])
def test_the_reads_of_a_run_come_under_their_names(uri: str, run: Run, tmp_path: Path) -> None:
    seen: list[fetch.Progress] = []
    assert get(uri, tmp_path, progress=seen.append) == FASTQ
    assert (seen[-1].done_files, seen[-1].done_bytes, seen[-1].total_bytes) == (2, 600_000, 600_000)


def test_a_destination_is_a_folder_also_without_a_slash(run: Run, tmp_path: Path) -> None:
    fetch.get("run+fastq://ERR3857002", tmp_path / "new", patience=QUICK)
    fetch.copy("run+fastq://ERR3857002|mv:reads", tmp_path, patience=QUICK)
    assert set(os.listdir(tmp_path / "new")) == set(os.listdir(tmp_path / "reads")) == set(FASTQ)


def test_only_first_reads_where_they_are_asked_for(archives: Archives, run: Run, tmp_path: Path) -> None:
    run.files["ERR3857002.fastq.gz"] = ALONE  # reads that have lost their mate
    archives.serve(run.place("fastq", "ERR3857002.fastq.gz"), ALONE)
    archives.add(Run("ERR9", {"ERR9.fastq.gz": ALONE}, layout="SINGLE"))
    assert get("run+fastq@filter_r1://ERR3857002", tmp_path) == {"ERR3857002_1.fastq.gz": R1}
    assert get("run+fastq@filter_r1://ERR9", tmp_path / "single") == {"ERR9.fastq.gz": ALONE}


def test_all_runs_of_a_sample_come_together(archives: Archives, run: Run, tmp_path: Path) -> None:
    archives.add(Run("ERR3857003", {"ERR3857003.fastq.gz": ALONE}))
    assert get("run+fastq://SAMEA6513017", tmp_path) == FASTQ | {"ERR3857003.fastq.gz": ALONE}


def test_what_was_sent_in_comes_as_it_was_called(archives: Archives, tmp_path: Path) -> None:
    sent = {"tumour #1 50%.bam": R1, "a|b.bai": R2}
    archives.add(Run("ERR5", submitted=sent))
    for name, content in sent.items():  # as it is asked for over HTTP
        quoted = name.replace("%", "%25").replace(" ", "%20").replace("#", "%23").replace("|", "%7C")
        archives.serve(f"vol1/submitted/ERR5/ERR5/{quoted}", content)
    assert get("run+submitted://ERR5", tmp_path) == sent


def test_it_is_listed_with_its_places_sizes_and_checksums(run: Run, archives: Archives) -> None:
    items = fetch.list_content("run+fastq://ERR3857002")
    assert {item.rel_name: (item.size, item.md5) for item in items} == {
        name: (len(content), hashlib.md5(content).hexdigest()) for name, content in FASTQ.items()
    }
    assert items[0].name == f"{archives.url}/vol1/fastq/ERR385/ERR3857002/ERR3857002_1.fastq.gz"
    assert (fetch.info("run+fastq://ERR3857002").type, fetch.info("run+fastq://ERR3857002").size) == ("dir", 600_000)


def test_sync_and_a_list_of_files_take_what_is_asked_for(run: Run, tmp_path: Path) -> None:
    assert set(fetch.sync("run+fastq://ERR3857002", tmp_path, patience=QUICK)) == set(FASTQ)
    assert fetch.sync("run+fastq://ERR3857002", tmp_path, patience=QUICK) == []
    fetch.copy("run+fastq://ERR3857002", tmp_path / "one", file_list=["ERR3857002_2.fastq.gz"], patience=QUICK)
    assert os.listdir(tmp_path / "one") == ["ERR3857002_2.fastq.gz"]


def test_faults_that_heal_are_waited_for(run: Run, archives: Archives, tmp_path: Path) -> None:
    archives.portal.refusals = [(429, {"Retry-After": "0"}), BUSY]
    first, second = (archives.served(run, name) for name in FASTQ)
    first.cuts, second.refusals = [180_000], [BUSY, BUSY]
    assert get("run+fastq@ftp://ERR3857002", tmp_path) == FASTQ
    assert archives.asked_from(f"/{run.place('fastq', 'ERR3857002_1.fastq.gz')}") == [0, 180_000]


def test_ftp_gives_way_to_http(run: Run, archives: Archives, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        ftp = PythonFtp(100_000)
    except FtpMissing as missing:
        miss(str(missing))
    with ftp:
        monkeypatch.setenv("SCITQ_ENA_FILES", f"{ftp.url} {archives.url}/")
        place = ftp.files / run.place("fastq", "ERR3857002_1.fastq.gz")
        place.parent.mkdir(parents=True)
        place.write_bytes(R1)  # and not the second file
        assert get("run+fastq@ftp://ERR3857002", tmp_path) == FASTQ
    assert archives.asked_for("_1.fastq.gz") == 0 and archives.asked_for("_2.fastq.gz") == 1


def test_with_aria2_a_large_file_comes_over_several_connections(archives: Archives, tmp_path: Path) -> None:
    if shutil.which("aria2c") is None:
        miss("no aria2c found (Debian: apt-get install aria2)")
    large = {"ERR3857002_1.fastq.gz": random.Random(4).randbytes(21_000_000), "ERR3857002_2.fastq.gz": R2}
    run = archives.add(Run("ERR3857002", large))
    archives.served(run, "ERR3857002_1.fastq.gz").pieces_per_s = 500
    assert get("run+fastq@aria2://ERR3857002", tmp_path) == large
    asked = [one for one in archives.requests if one.method == "GET" and one.path.endswith("_1.fastq.gz")]
    assert len(asked) > 1
    with pytest.raises(UnsupportedError, match="has no option aria2"):
        fetch.check_uri("fasp@aria2://user@host:file")


def test_a_wrong_checksum_is_found_and_sra_asked_instead(
    run: Run, archives: Archives, programs: Programs, tmp_path: Path
) -> None:
    archives.served(run, "ERR3857002_2.fastq.gz").content = R1
    with pytest.raises(Corrupt, match="MD5"):
        get("run+fastq@ftp://ERR3857002", tmp_path)
    assert not (tmp_path / "here").exists()
    asked = archives.asked_for("_2.fastq.gz")
    assert asked == 3, "gigabytes are not fetched for ever"
    programs.install_sra_tools()
    archives.serve("sra/ERR3857002/ERR3857002", archive("ERR3857002", "@1 ACGT", "@1 TTTT"))
    got = get("run+fastq://ERR3857002", tmp_path)
    assert {name: gzip.decompress(content) for name, content in got.items()} == {
        "ERR3857002_1.fastq.gz": b"@1 ACGT\n", "ERR3857002_2.fastq.gz": b"@1 TTTT\n"
    }  # fmt: skip


def test_a_run_that_only_sra_has(archives: Archives, programs: Programs, tmp_path: Path) -> None:
    programs.install_sra_tools()
    archives.add(Run("SRR9", more={"fastq_ftp": ""}))
    archives.serve("sra/SRR9/SRR9", archive("SRR9", "@1 ACGT", "@1 TTTT"), cuts=[10])
    assert set(get("run+fastq://SRR9", tmp_path)) == {"SRR9_1.fastq.gz", "SRR9_2.fastq.gz"}
    assert set(get("run+fastq@sra@filter_r1://SRR9", tmp_path / "r1")) == {"SRR9_1.fastq.gz"}
    assert set(get("run+fastq@sra://PRJEB37101", tmp_path / "study")) == {"SRR9_1.fastq.gz", "SRR9_2.fastq.gz"}
    with pytest.raises(NotInstalled, match="aria2c"):
        get("run+fastq@sra@aria2://SRR9", tmp_path / "aria2")
    with pytest.raises(FetchErrorNoRepeat, match="leave @sra out"):
        fetch.info("run+fastq@sra://SRR9")


def test_an_archive_that_is_not_in_the_bucket_is_prefetched(
    archives: Archives, programs: Programs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs.install_sra_tools()
    (tmp_path / "SRR9.sra").write_bytes(archive("SRR9", "@1 ACGT"))
    monkeypatch.setenv("PREFETCH_FILES", str(tmp_path))
    assert set(get("run+fastq@sra://SRR9", tmp_path)) == {"SRR9.fastq.gz"}
    with pytest.raises(NotFound, match="name not found while resolving"):
        get("run+fastq@sra://SRR8", tmp_path)
    assert set(os.listdir(tmp_path / "here")) == {"SRR9.fastq.gz"}


def test_a_damaged_archive_is_never_made_into_reads(archives: Archives, programs: Programs, tmp_path: Path) -> None:
    programs.install_sra_tools()
    archives.serve("sra/SRR9/SRR9", archive("SRR9", "@1 ACGT")[:-3])
    with pytest.raises(Corrupt, match=r"archive of SRR9 is damaged.*check failed"):
        get("run+fastq@sra://SRR9", tmp_path)


def test_aspera_is_the_last_that_is_asked(run: Run, archives: Archives, programs: Programs, tmp_path: Path) -> None:
    programs.install_ascp(tmp_path / "aspera")
    for name, content in FASTQ.items():
        place = tmp_path / "aspera" / run.place("fastq", name)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
        archives.served(run, name).refusals = [BUSY] * 50
    assert get("run+fastq://ERR3857002", tmp_path) == FASTQ
    assert get("run+fastq@aspera://ERR3857002", tmp_path / "forced") == FASTQ


def test_nothing_is_promised_that_no_source_has(run: Run, programs: Programs, tmp_path: Path) -> None:
    with pytest.raises(FetchErrorNoRepeat, match=r"ERR1 is not known there; SRA: .*sra-toolkit"):
        get("run+fastq://ERR1", tmp_path)
    with pytest.raises(NotFound, match="ENA: ERR1 is not known there"):
        get("run+submitted@ftp://ERR1", tmp_path)
    with pytest.raises(NotInstalled, match=r"fasterq-dump is needed.*apt-get install sra-toolkit"):
        get("run+fastq@sra://ERR3857002", tmp_path)


def test_an_archive_that_stays_away_is_said_so(archives: Archives, programs: Programs, tmp_path: Path) -> None:
    archives.portal.refusals = [BUSY] * 1_000
    with pytest.raises(Unreachable, match="503"):
        get("run+fastq@ftp://ERR3857002", tmp_path)
    assert archives.asked_for("filereport") == 3 * QUICK.tries


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"<html><body>We are down for maintenance</body></html>", "no table, but with.*maintenance"),
        (b'{"message": "Invalid"}', "no table"),
        (b"run_accession\tfastq_ftp\nERR3857002\tx\n", "without the column fastq_aspera"),
        (b"run_accession\tfastq_ftp\tfastq_aspera\tfastq_md5\tfastq_bytes\nERR3857002\th", "breaks off"),
        (b"run_accession\tfastq_ftp\tfastq_aspera\tfastq_md5\tfastq_bytes\nERR1\th/a;h/b\t\t00\t\n", "2 files and 1"),
        (b"run_accession\tfastq_ftp\tfastq_aspera\tfastq_md5\tfastq_bytes\nERR1\th/..\t\t\t\n", "which is no place"),
        (b"run_accession\tfastq_ftp\tfastq_aspera\tfastq_md5\tfastq_bytes\n../a\th/a;g/a\t\t\t\n", "is no run"),
        (b"run_accession\tfastq_ftp\tfastq_aspera\tfastq_md5\tfastq_bytes\nERR1\th/a\t\tno\t\n", "MD5 'no'"),
        (b"x" * 10_000_000, "a line of more than"),
        (b"\xff\xfe\x00", "no text"),
        (b"", "is not known there"),
    ],
    ids=lambda value: None if isinstance(value, bytes) else value[:20],
)
def test_answers_that_make_no_sense_are_refused(archives: Archives, tmp_path: Path, answer: bytes, words: str) -> None:
    archives.answers["filereport"] = answer
    with pytest.raises(FetchError, match=words):
        get("run+fastq@ftp://ERR3857002", tmp_path)
    assert not (tmp_path / "here").exists()


def test_a_call_that_is_called_off_leaves_nothing(run: Run, archives: Archives, tmp_path: Path) -> None:
    cancellation = fetch.Cancellation()
    served: Served = archives.served(run, "ERR3857002_1.fastq.gz")
    served.stalls, served.cuts = [100_000], []
    with pytest.raises(fetch.Cancelled):
        get("run+fastq://ERR3857002", tmp_path, cancellation=cancellation, progress=lambda _: cancellation.cancel())
    assert not (tmp_path / "here").exists()
