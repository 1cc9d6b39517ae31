"""Samples of a project and of a folder, and choosing among them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from scitq.bio import projects
from scitq.bio.genetics import (
    BioException,
    Depth,
    Run,
    Samples,
    count,
    filter_by,
    filter_by_layout,
    find_library_layout,
    uri_get_samples,
    user_friendly_depth,
)


def run(sample: str, uri: str, layout: str = "PAIRED", **more: object) -> Run:
    return Run(sample_accession=sample, uri=uri, library_layout=layout, **more)


def uris(samples: Samples) -> dict[str, list[str]]:
    return {name: [run.uri for run in runs] for name, runs in samples.items()}


def test_it_is_usable_without_any_server_code() -> None:
    code = "import sys, scitq.bio.genetics; print(*sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    for word in ("scitq.web", "scitq.store", "scitq.lib", "scitq.domain", "httpx", "sqlalchemy", "pydantic", "typer"):
        assert word not in done.stdout.split()


@pytest.mark.parametrize(
    ("files", "samples"),
    [
        (["S1/a_1.fastq.gz", "S1/a_2.fastq.gz", "S2/b_1.fastq.gz", "S2/b_2.fastq.gz"], {"S1": 2, "S2": 2}),
        (["S1_1.fastq.gz", "S1_2.fastq.gz", "S10_1.fastq.gz", "S10_2.fastq.gz"], {"S1": 2, "S10": 2}),
        (["A_R1.fastq.gz", "A_R2.fastq.gz", "Long_R1.fastq.gz", "Long_R2.fastq.gz"], {"A": 2, "Long": 2}),
        (["a_S1_R1_001.fastq.gz", "a_S1_R2_001.fastq.gz"], {"a_S1": 2}),
        (["all/S1_1.fastq.gz", "all/S1_2.fastq.gz", "all/S2_1.fastq.gz", "all/S2_2.fastq.gz"], {"S1": 2, "S2": 2}),
        (["S1-lane1.fq", "S1-lane2.fq", "S1-lane3.fq", "S2-lane1.fq", "S2-lane2.fq"], {"S1": 3, "S2": 2}),
        (["S1-a.fq", "S1-b.fq", "S2-a.fq", "S2-b.fq"], {"S1": 2, "S2": 2}),
        (["c1.fq", "c2.fq"], {"c": 2}),
        (["S1_1.fq", "S1_2.fq", "S1.fq", "S2_1.fq", "S2_2.fq"], {"S1": 3, "S2": 2}),
        (["one.fastq.gz", "two.fastq.gz"], {"one": 1, "two": 1}),
        (["deep/x/S1/a.fastq.gz", "deep/x/S2/b.fastq.gz", "deep/x/S2/c.fastq.gz"], {"S1": 1, "S2": 2}),
        (["S1.fq", "S2.fq", "S3.fq", "notes.txt"], {"S1": 1, "S2": 1, "S3": 1}),
        (["a/S1_1.fq", "a/S1_2.fq", *(f"b/{n}.fq" for n in "xyzuvw")], {"S1": 2, **dict.fromkeys("xyzuvw", 1)}),
    ],
)  # fmt: skip
def test_samples_are_told_by_folders_or_by_names(tmp_path: Path, files: list[str], samples: dict[str, int]) -> None:
    for name in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("@1")
    found = uri_get_samples(f"file://{tmp_path}/")
    assert {name: len(runs) for name, runs in found.items()} == samples


@pytest.mark.parametrize(
    ("files", "paired"),
    [
        (["S1_1.fq", "S1_2.fq", "S1.fq"], {"S1_1.fq", "S1_2.fq"}),
        (["c1.fq", "c2.fq"], {"c1.fq", "c2.fq"}),
        (["S1.fq", "S2.fq", "S3.fq"], set()),
        (["x/S_R1_001.fq", "y/S_R2_001.fq"], set()),
    ],
)
def test_files_are_paired_that_have_a_mate(tmp_path: Path, files: list[str], paired: set[str]) -> None:
    for name in files:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    runs = [run for runs in uri_get_samples(f"file://{tmp_path}/").values() for run in runs]
    assert {Path(run.uri).name for run in runs if run.library_layout == "PAIRED"} == paired


def test_a_folder_without_such_files_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "a.bam").touch()
    with pytest.raises(BioException, match=r"no files that end with .fastq.gz, nor with .fastq, .fq.gz, .fq"):
        uri_get_samples(f"file://{tmp_path}/")
    assert list(uri_get_samples(f"file://{tmp_path}/", ending=".bam")) == ["a"]


def test_paired_keeps_pairs() -> None:
    samples = {"a": [run("a", "run+fastq://ERR1"), run("a", "run+fastq://ERR2", "SINGLE")],
               "b": [run("b", "run+fastq://ERR3", "SINGLE")]}  # fmt: skip
    assert uris(filter_by_layout(samples, paired=True)) == {"a": ["run+fastq://ERR1"]}
    assert uris(filter_by_layout(samples, paired=False, use_only_r1=False)) == {
        "a": ["run+fastq://ERR2"], "b": ["run+fastq://ERR3"]
    }  # fmt: skip


def test_single_takes_first_reads_of_pairs_and_changes_nothing_that_was_given() -> None:
    samples = {
        "a": [run("a", "run+fastq@sra://SRR1"), run("a", "run+fastq://ERR2", "SINGLE")],
        "b": [run("b", "s3://x/b_R1.fastq.gz"), run("b", "s3://x/b_R2.fastq.gz")],
        "c": [run("c", "s3://x/c1.fq"), run("c", "s3://x/c2.fq")],
    }
    before = uris(samples)
    single = filter_by_layout(samples, paired=False)
    assert uris(single) == {
        "a": ["run+fastq@sra@filter_r1://SRR1", "run+fastq://ERR2"],
        "b": ["s3://x/b_R1.fastq.gz"],
        "c": ["s3://x/c1.fq"],
    }
    assert uris(samples) == before
    assert find_library_layout(single) == "SINGLE"
    assert uris(filter_by_layout(single, paired=False)) == uris(single)


def test_as_many_of_one_layout_as_of_the_other_is_nobodys_choice_but_yours() -> None:
    with pytest.raises(BioException, match="1 runs are PAIRED and as many SINGLE"):
        find_library_layout({"a": [run("a", "x"), run("a", "y", "SINGLE")]})


def test_runs_are_chosen_by_anything_that_is_known_of_them() -> None:
    samples = {
        "a": [run("a", "1", library_strategy="WGS", tax_id="9606")],
        "b": [run("b", "2", library_strategy="RNA")],
    }
    assert list(filter_by(samples, library_strategy="WGS")) == ["a"]
    assert list(filter_by(samples, library_strategy="WGS", tax_id="10090")) == []
    with pytest.raises(BioException, match="no run has libary_strategy: they have library_layout, library_strategy"):
        filter_by(samples, libary_strategy="WGS")


@pytest.mark.parametrize(
    ("text", "depth", "total", "shown"),
    [
        ("10M", Depth(10_000_000), 10_000_000, "10M"),
        ("2x10M", Depth(10_000_000, True), 20_000_000, "2x10M"),
        ("10Mx2", Depth(10_000_000, True), 20_000_000, "2x10M"),
        ("1x5k", Depth(5_000, False), 5_000, "1x5k"),
        (" 2.5m x 1 ", Depth(2_500_000, False), 2_500_000, "1x2500k"),
        ("1G", Depth(1_000_000_000), 1_000_000_000, "1G"),
        ("7", Depth(7), 7, "7"),
    ],
)
def test_depths_are_written_as_people_write_them(text: str, depth: Depth, total: int, shown: str) -> None:
    found = user_friendly_depth(text)
    assert found == depth and found.total_read_number == total and repr(found) == shown
    assert user_friendly_depth(repr(found)) == found
    assert found.to_tuple() == (depth.read_number, depth.paired)
    assert found.single is (None if depth.paired is None else not depth.paired)


@pytest.mark.parametrize("text", ["", "M", "10T", "3x10M", "2x10Mx2", "-5", "1e6", "0.5", "١٠M"])
def test_what_is_no_depth_is_refused(text: str) -> None:
    with pytest.raises(BioException, match=r"is (no depth|not a whole)"):
        user_friendly_depth(text)


def test_names_of_columns_become_names_of_attributes() -> None:
    names = ("LibraryLayout", "BioSample", "SRAStudy", "TaxID", "size_MB", "g1k_pop_code", "ScientificName", "Run")
    assert [projects.snake(name) for name in names] == [
        "library_layout", "bio_sample", "sra_study", "tax_id", "size_mb", "g1k_pop_code", "scientific_name", "run"
    ]  # fmt: skip
    assert count(["a.fq", "b.fq", "c"], ".fq") == 2
