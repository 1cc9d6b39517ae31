"""Runs from NCBI's Sequence Read Archive: fetched from its open bucket, and made into FASTQ by its own tools.

They are those of sra-tools, installed or in their container. What is not in the bucket is fetched by their `prefetch`.
An archive holds checksums of what is in it, which `vdb-validate` looks at before anything is made of it.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from scitq.fetch import faults, ncbi, tools
from scitq.fetch.ena import first_reads
from scitq.fetch.errors import Corrupt, NotFound, Unreachable
from scitq.fetch.services import SRA_FILES, SRA_IMAGE, service, with_options
from scitq.fetch.uri import URI

if TYPE_CHECKING:
    from scitq.fetch.moving import Mover

_STALLS: Final = 10.0
"""How many times as long as a server may say nothing these tools may write nothing: they sort, and compress."""
_THREADS: Final = 8


def bring(accession: str, folder: str, mover: Mover, *, only_first: bool, options: str) -> None:
    """The reads of all its runs, as `<run>_1.fastq.gz` and so on, into a folder; `options` are for the archives."""
    names = ncbi.runs_of(accession, mover.watch.cancellation, mover.patience)
    runs = [_Run(name, os.path.join(folder, f".{name}"), mover, options) for name in names]
    mover.watch.all_begun()
    for run in runs:
        with faults.of_files(run.aside):  # kept when it fails: the archive in it need not be fetched again
            os.makedirs(os.path.join(run.aside, run.run), exist_ok=True)
        run.bring(folder, only_first)
        shutil.rmtree(run.aside)


class _Run:
    def __init__(self, run: str, aside: str, mover: Mover, options: str) -> None:
        self.run, self.aside, self.mover, self.options = run, aside, mover, options
        self.watch = mover.watch.file(f"{run}.sra")

    def bring(self, folder: str, only_first: bool) -> None:
        archive = os.path.join(self.aside, self.run, f"{self.run}.sra")
        self._way("fasterq-dump")  # before gigabytes are fetched in vain
        if not os.path.exists(archive):
            self._fetch(archive)
        size = os.path.getsize(archive)
        self.watch.has_size(size)
        self.watch.again(size)
        try:
            self._do("vdb-validate", self.run)
        except Unreachable as error:
            os.unlink(archive)
            raise Corrupt(f"SRA: the archive of {self.run} is damaged: {error}") from error
        made = os.path.join(self.aside, "fastq")
        shutil.rmtree(made, ignore_errors=True)
        threads = str(min(len(os.sched_getaffinity(0)), _THREADS))
        self._do(
            "fasterq-dump", "--split-files", "--threads", threads, "--temp", self.aside, "--outdir", made, self.run
        )
        names = sorted(os.listdir(made)) if os.path.isdir(made) else []
        if not names:
            raise NotFound(f"SRA: {self.run} has no reads that could be written as FASTQ")
        for name in first_reads(names) if only_first else names:
            self._compress(os.path.join(made, name), threads)
            with faults.of_files(folder):
                os.rename(os.path.join(made, f"{name}.gz"), os.path.join(folder, f"{name}.gz"))
        self.watch.done()

    def _fetch(self, archive: str) -> None:
        from scitq.fetch.moving import Move

        try:
            source = URI(with_options(f"{service(SRA_FILES)}/{self.run}/{self.run}", self.options))
            with self.mover.watch.attempt() as watch:
                replace(self.mover, watch=watch).files([Move(source, URI.of_file(archive), f"{self.run}.sra")])
        except NotFound:  # not all of the archive is in the bucket
            self._do("prefetch", "--max-size", "u", "--output-directory", self.aside, self.run)
            if not os.path.exists(archive):
                raise NotFound(f"SRA: prefetch has brought no archive of {self.run}") from None

    def _compress(self, name: str, threads: str) -> None:
        pigz = ["pigz", "--processes", threads] if shutil.which("pigz") else ["gzip"]
        self._run(tools.Way(pigz), "--force", "--", name)

    def _way(self, program: str) -> tools.Way:
        return tools.way_of(tools.Tool(program, "fasterq-dump", SRA_IMAGE), self.aside)

    def _do(self, program: str, *words: str) -> None:
        self._run(self._way(program), *words)

    def _run(self, way: tools.Way, *words: str) -> None:
        watch, shown = self.mover.watch, f"SRA: {self.run}"

        def grown() -> int:
            watch.check()
            return tools.bytes_in(self.aside)

        tools.run(way, words, self.aside, watch.cancellation, watch.stall_s * _STALLS, grown, shown=shown)
