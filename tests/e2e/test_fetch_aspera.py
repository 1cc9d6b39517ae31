"""Aspera through its program, which is another one of the same command line here: see tests/services."""

from __future__ import annotations

import os
import random
import threading
from pathlib import Path

import psutil
import pytest

from scitq import fetch
from scitq.fetch.errors import NotFound, NotInstalled, TimedOut, Unreachable, UnsupportedError
from tests.services.archive_programs import Programs
from tests.services.waiting import eventually

QUICK = fetch.Patience(tries=4, first_s=0.01, longest_s=0.05, stall_s=20.0)
READS = random.Random(1).randbytes(100_000)
URI = "fasp://era-fasp@fasp.sra.ebi.ac.uk:/vol1/reads 'x'.gz"


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Programs:
    found = Programs(tmp_path, monkeypatch)
    found.install_ascp(tmp_path / "there")
    (tmp_path / "there/vol1").mkdir()
    (tmp_path / "there/vol1/reads 'x'.gz").write_bytes(READS)
    return found


def log(tmp_path: Path) -> list[str]:
    return (tmp_path / "there/log").read_text().splitlines()


@pytest.mark.parametrize(("mine", "other"), [("", ""), ("era-fasp@", ""), ("uk:/", "uk:"), (":/v", "/v")])
def test_a_file_comes_by_ascp(programs: Programs, tmp_path: Path, mine: str, other: str) -> None:
    seen: list[fetch.Progress] = []
    fetch.get(URI.replace(mine, other), f"{tmp_path}/here/", patience=QUICK, progress=seen.append)
    assert os.listdir(tmp_path / "here") == ["reads 'x'.gz"]
    assert (tmp_path / "here/reads 'x'.gz").read_bytes() == READS
    said = log(tmp_path)[0]
    assert said.startswith("-Q -T -k 1 -l 300m -P 33001 -i ")
    assert "--mode=recv --user=era-fasp --host=fasp.sra.ebi.ac.uk " in said
    assert seen[-1].done_bytes == len(READS)


def test_what_was_cut_goes_on_where_it_was(programs: Programs, tmp_path: Path) -> None:
    (tmp_path / "there/vol1/reads 'x'.gz.fails").write_text("2")
    fetch.get(URI, tmp_path / "here", patience=QUICK)
    assert (tmp_path / "here").read_bytes() == READS
    assert log(tmp_path)[-1] == "from 75000"
    assert sorted(os.listdir(tmp_path)) == ["here", "programs", "there"]


def test_one_that_is_cut_without_end_is_given_up(programs: Programs, tmp_path: Path) -> None:
    (tmp_path / "there/vol1/reads 'x'.gz.fails").write_text("1000")
    with pytest.raises(Unreachable, match=r"ascp ended with 1: .*Session timeout"):
        fetch.get(URI, tmp_path / "here", patience=QUICK)
    assert sorted(os.listdir(tmp_path)) == ["programs", "there"]


def test_what_it_cannot_is_said_at_once(programs: Programs, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="No such file"):
        fetch.get("fasp://era-fasp@fasp.sra.ebi.ac.uk:/vol1/none", tmp_path / "here", patience=QUICK)
    with pytest.raises(UnsupportedError, match="cannot be listed: name a file"):
        fetch.get("fasp://era-fasp@fasp.sra.ebi.ac.uk:/vol1/", tmp_path / "here")
    with pytest.raises(UnsupportedError, match="cannot be listed"):
        fetch.list_content(URI)
    with pytest.raises(UnsupportedError, match="cannot be asked about"):
        fetch.info(URI)
    with pytest.raises(UnsupportedError, match="cannot be written to"):
        fetch.put(tmp_path / "there/log", URI)
    with pytest.raises(UnsupportedError, match="name the user"):
        fetch.get("fasp://host.org:/file", tmp_path / "here")
    assert fetch.check_uri(URI) == "fasp"


def test_a_key_or_a_program_that_is_missing_is_named(
    programs: Programs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCITQ_ASPERA_KEY", str(tmp_path / "none"))
    with pytest.raises(NotInstalled, match=r"SCITQ_ASPERA_KEY names the key .*none, which is not there"):
        fetch.get(URI, tmp_path / "here")
    (tmp_path / "key").write_text("mine")
    monkeypatch.setenv("SCITQ_ASPERA_KEY", str(tmp_path / "key"))
    fetch.get(URI, tmp_path / "here")
    assert f"-i {tmp_path}/key " in log(tmp_path)[0]
    monkeypatch.delenv("SCITQ_ASPERA_KEY")
    monkeypatch.setenv("HOME", str(tmp_path))
    (programs.folder / "asperaweb_id_dsa.openssh").unlink()
    with pytest.raises(NotInstalled, match="none of the keys that come with it: name one in SCITQ_ASPERA_KEY"):
        fetch.get(URI, tmp_path / "here")
    (programs.folder / "ascp").unlink()
    with pytest.raises(NotInstalled, match=r"ascp is needed for this and is not installed .*aspera-cli.*docker"):
        fetch.get(URI, tmp_path / "here")


def test_one_that_stands_still_or_is_called_off_is_ended(programs: Programs, tmp_path: Path) -> None:
    (tmp_path / "there/vol1/reads 'x'.gz.stalls").touch()
    before = set(psutil.Process().children(recursive=True))
    with pytest.raises(TimedOut, match=r"nothing has come for 0.3 s"):
        fetch.get(URI, tmp_path / "here", patience=fetch.Patience(tries=1, stall_s=0.3))
    assert set(psutil.Process().children(recursive=True)) <= before
    cancellation, errors = fetch.Cancellation(), []

    def work() -> None:
        try:
            fetch.get(URI, tmp_path / "here", patience=QUICK, cancellation=cancellation)
        except fetch.Cancelled as error:
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    eventually(lambda: len(log(tmp_path)) == 2, "it has begun")
    cancellation.cancel()
    thread.join(10)
    assert errors and set(psutil.Process().children(recursive=True)) <= before
    assert sorted(os.listdir(tmp_path)) == ["programs", "there"]
