"""The programs of the archives in their containers, by a real engine: images of ours that speak their languages."""

from __future__ import annotations

import io
import os
import shutil
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from scitq import fetch
from scitq.fetch.errors import NotInstalled, Unreachable
from tests.conftest import miss
from tests.services.archive_programs import SRA_TOOLS, Programs, archive
from tests.services.archives import Archives
from tests.services.docker import PrivateDocker

QUICK = fetch.Patience(tries=2, first_s=0.01, longest_s=0.05, stall_s=20.0)
ASCLI = """#!/bin/sh
# ascli: what stands before ascp in its image; it brings what it was told.
while [ $# -gt 0 ]; do
    case "$1" in
        server|download|--retry=0|--ts=@json:?*|--url=?*|--username=?*|--ssh-keys=?*) ;;
        --to-folder=*) folder=${1#*=} ;;
        --*) exit 64 ;;
        *) name=$1 ;;
    esac
    shift
done
id -u > "$folder/$(basename "$name")"
"""


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, docker_engine: PrivateDocker) -> Iterator[Programs]:
    found = Programs(tmp_path, monkeypatch)
    program = shutil.which("docker", path=os.defpath + ":/usr/local/bin")
    if program is None:
        miss("no docker program found (Debian: apt-get install docker.io)")
    (found.folder / "docker").symlink_to(program)
    monkeypatch.setenv("DOCKER_HOST", docker_engine.url)
    image(docker_engine, "ncbi/sra-tools", SRA_TOOLS, [])
    image(docker_engine, "martinlaurent/ascli:4.23.0", {"ascli": ASCLI}, ["/bin/ascli"])
    yield found
    client = docker_engine.client()
    assert client.containers(all=True, filters={"name": "scitq-fetch-"}) == [], "nothing of it is left"
    client.close()


def image(docker: PrivateDocker, name: str, scripts: Mapping[str, str], entry: list[str]) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for script, text in scripts.items():
            entry_of = tarfile.TarInfo(script)
            entry_of.size, entry_of.mode = len(text), 0o755
            tar.addfile(entry_of, io.BytesIO(text.encode()))
    client = docker.client()
    made = client.create_container("busybox:1", "true")
    client.put_archive(made, "/bin", packed.getvalue())
    repository, _, tag = name.partition(":")
    client.commit(made, repository, tag or "latest", conf={"Entrypoint": entry})
    client.remove_container(made)
    client.close()


def test_an_archive_is_made_into_reads(programs: Programs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Archives() as archives:
        for name, value in archives.settings().items():
            monkeypatch.setenv(name, value)
        archives.serve("sra/SRR9/SRR9", archive("SRR9", "@1 ACGT", "@1 TTTT"))
        folder = tmp_path / 'a,"b"' / "here"
        fetch.get("run+fastq@sra://SRR9", f"{folder}/", patience=QUICK)
        assert sorted(os.listdir(folder)) == ["SRR9_1.fastq.gz", "SRR9_2.fastq.gz"]
        assert (folder / "SRR9_1.fastq.gz").stat().st_uid == os.getuid()


def test_aspera_has_a_command_line_of_its_own_there(programs: Programs, tmp_path: Path) -> None:
    fetch.get("fasp://fasp.sra.ebi.ac.uk:/vol1/reads.gz", f"{tmp_path}/here/", patience=QUICK)
    assert (tmp_path / "here/reads.gz").read_text() == f"{os.getuid()}\n"


def test_an_engine_that_is_away_is_said_so(programs: Programs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCITQ_ASPERA_IMAGE", "127.0.0.1:9/none:1")
    with pytest.raises(Unreachable, match=r"127.0.0.1:9"):
        fetch.get("fasp://fasp.sra.ebi.ac.uk:/vol1/reads.gz", tmp_path / "here", patience=QUICK)
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none")
    with pytest.raises(NotInstalled, match="start docker, or install ascp"):
        fetch.get("fasp://fasp.sra.ebi.ac.uk:/vol1/reads.gz", tmp_path / "here", patience=QUICK)
