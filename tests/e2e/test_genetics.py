"""Projects of the public archives, asked of archives on this machine; and a task that takes a run as its input."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from scitq.bio import projects
from scitq.bio.genetics import BioException, ena_get_samples, sra_get_samples
from scitq.fetch import Patience, ncbi
from scitq.fetch.errors import FetchErrorNoRepeat, Unreachable
from tests.services.archives import RUNINFO, Archives, Run
from tests.services.scitq import embedded

QUICK = Patience(tries=3, first_s=0.01, longest_s=0.05, stall_s=5.0)
BUSY = (503, {"Retry-After": "0"})


@pytest.fixture
def archives(monkeypatch: pytest.MonkeyPatch) -> Iterator[Archives]:
    monkeypatch.setattr(projects, "PATIENCE", QUICK)
    monkeypatch.setattr(ncbi, "PAUSE_S", 0.0)
    with Archives() as server:
        for name, value in server.settings().items():
            monkeypatch.setenv(name, value)
        server.add(Run("ERR1", {"ERR1_1.fastq.gz": b"1", "ERR1_2.fastq.gz": b"2"}, sample="SAMEA1"))
        server.add(Run("ERR2", {"ERR2.fastq.gz": b"3"}, sample="SAMEA1", layout="SINGLE"))
        server.add(Run("ERR3", {"ERR3.fastq.gz": b"4"}, sample="SAMEA2", layout="SINGLE", strategy="RNA-Seq"))
        server.add(Run("ERR4", sample="SAMEA3", study="PRJEB99"))
        yield server


def test_ena_tells_the_samples_of_a_project(archives: Archives) -> None:
    archives.portal.refusals = [(429, {"Retry-After": "0"}), BUSY]
    samples = ena_get_samples("PRJEB37101")
    assert {name: [run.uri for run in runs] for name, runs in samples.items()} == {
        "SAMEA1": ["run+fastq://ERR1", "run+fastq://ERR2"], "SAMEA2": ["run+fastq://ERR3"]
    }  # fmt: skip
    first = samples["SAMEA1"][0]
    assert (first.run_accession, first.library_layout, first.scientific_name) == ("ERR1", "PAIRED", "Homo sapiens")
    assert list(ena_get_samples("PRJEB37101", library_layout="SINGLE", library_strategy="RNA-Seq")) == ["SAMEA2"]
    assert ena_get_samples("PRJEB37101", library_strategy="ChIP-Seq") == {}


def test_sra_tells_them_with_the_columns_of_runinfo(archives: Archives, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ncbi, "PORTION", 2)
    archives.search.refusals, archives.table.refusals = [BUSY], [BUSY]
    samples = sra_get_samples("PRJEB37101")
    assert {name: [run.uri for run in runs] for name, runs in samples.items()} == {
        "SAMEA1": ["run+fastq@sra://ERR1", "run+fastq@sra://ERR2"], "SAMEA2": ["run+fastq@sra://ERR3"]
    }  # fmt: skip
    first = samples["SAMEA1"][0]
    assert (first.run, first.bio_sample, first.sra_study, first.tax_id) == ("ERR1", "SAMEA1", "ERP1", "9606")
    assert first.sample_name == "gut, of donor 1"
    assert list(sra_get_samples("PRJEB37101", library_layout="PAIRED")) == ["SAMEA1"]


def test_ncbi_is_given_the_key_of_its_user_and_nobody_else_is(
    archives: Archives, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("NCBI_API_KEY", "Geheim&db=x")
    sra_get_samples("PRJEB37101")
    ena_get_samples("PRJEB37101")
    asked = [urlsplit(request.path) for request in archives.requests]
    keys = {where.path.rpartition("/")[2]: parse_qs(where.query).get("api_key") for where in asked}
    assert keys == {"esearch.fcgi": ["Geheim&db=x"], "efetch.fcgi": ["Geheim&db=x"], "filereport": None}
    archives.search.refusals = [BUSY] * 3
    with pytest.raises(Unreachable) as error:
        sra_get_samples("PRJEB37101")
    assert "Geheim" not in str(error.value) + caplog.text + str([vars(record) for record in caplog.records])


def test_a_project_that_nobody_knows_is_said_so(archives: Archives) -> None:
    with pytest.raises(BioException, match="ENA knows no runs of PRJNA1"):
        ena_get_samples("PRJNA1")
    with pytest.raises(BioException, match="SRA knows no runs of PRJNA1"):
        sra_get_samples("PRJNA1")
    for wrong in ("", "PRJEB 1", "PRJEB1;rm -rf", "PRJEB1&x=y"):
        with pytest.raises(BioException, match="is no accession of a project"):
            ena_get_samples(wrong)
    assert ena_get_samples(" prjeb99 ").keys() == {"SAMEA3"}


HEAD = ",".join(RUNINFO).encode()


@pytest.mark.parametrize(
    ("verb", "answer", "error", "words"),
    [
        ("efetch.fcgi", b"<html>busy</html>", Unreachable, "no table, but with"),
        ("efetch.fcgi", HEAD + b"\nERR1,2020", Unreachable, "breaks off: a line has 2 fields of 47"),
        ("efetch.fcgi", HEAD + b'\n"ERR1', Unreachable, "cannot be read"),
        ("efetch.fcgi", b"Run,BioSample\nERR1,S\n", FetchErrorNoRepeat, "without the column LibraryLayout"),
        ("efetch.fcgi", b"x" * 10_000_000, FetchErrorNoRepeat, "a line of more than"),
        ("esearch.fcgi", b"<eSearchResult><ERROR>no</ERROR></eSearchResult>", FetchErrorNoRepeat, "nothing that could"),
        ("esearch.fcgi", b"<Count>5</Count>", FetchErrorNoRepeat, "without the place"),
    ],
)
def test_answers_that_make_no_sense_are_refused(
    archives: Archives, verb: str, answer: bytes, error: type[Exception], words: str
) -> None:
    archives.answers[verb] = answer
    with pytest.raises(error, match=words):
        sra_get_samples("PRJEB37101")


def test_an_archive_that_is_away_is_given_up_soon(archives: Archives) -> None:
    archives.portal.refusals = [BUSY] * 100
    with pytest.raises(Unreachable, match="503"):
        ena_get_samples("PRJEB37101")
    assert archives.asked_for("filereport") == QUICK.tries


def test_a_task_takes_runs_as_its_inputs_and_as_resources(archives: Archives, tmp_path: Path) -> None:
    with embedded(tmp_path, **archives.settings()) as system:
        system.server()
        system.worker(1)
        client = system.client()
        command = "cd $INPUT && cat ERR1_1.fastq.gz ERR2.fastq.gz && cat $RESOURCE/ERR3.fastq.gz && ls"
        inputs = [run.uri.replace("ERR1", "ERR1/") for run in ena_get_samples("PRJEB37101")["SAMEA1"]]
        inputs[0] = inputs[0].replace("+fastq", "+fastq@filter_r1")
        tasks = [
            client.task_create(command, shell=True, input=" ".join(inputs), resource="run+fastq://ERR3")["task_id"]
            for _ in range(2)
        ]
        client.wait(tasks)
        for task in tasks:
            done = client.executions(task_id=task, latest=True)[0]
            assert done["status"] == "succeeded", done
            assert done["output"].startswith("134")
            assert done["output"][3:].split() == ["ERR1_1.fastq.gz", "ERR2.fastq.gz"]
        assert archives.asked_for("ERR3.fastq.gz") == 1, "a resource is fetched once"
        archives.portal.refusals = [BUSY] * 1_000
        again = client.task_create("cat $RESOURCE/ERR3.fastq.gz", shell=True, resource="run+fastq://ERR3")["task_id"]
        client.wait([again])
        assert client.task_get(again)["status"] == "succeeded", "what is here needs no archive"
        archives.portal.refusals = []
        wrong = client.task_create("true", input="run+fastq@ftp://ERR77")["task_id"]
        client.wait([wrong])
        assert "ENA: ERR77 is not known there" in client.executions(task_id=wrong, latest=True)[0]["reason"]
