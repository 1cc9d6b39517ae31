"""Moving data beside the programs that people use for it: rclone with its defaults, and curl.

    python -m bench.fetching [--files 10000] [--large-mb 2000] [--rounds 4] [--only moto|s3rver|azure|http]

Stores run here, and both programs are started anew each time, in turns. Whoever begins finds memory cold and takes up
to twice as long, so that rounds are even in number, and each begins as often. A store that would not fit into the free
memory, or onto the disk, is left out, in words.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import psutil

from bench.table import Findings
from tests.services.azure import PrivateAzure
from tests.services.s3 import PrivateS3, S3rver

SMALL_BYTES: Final = 1_000
MEMORY_BAR_MB: Final = 100
STORES: Final[dict[str, Callable[[], PrivateS3 | S3rver | PrivateAzure]]] = {
    "moto": PrivateS3, "s3rver": S3rver, "azure": PrivateAzure
}  # fmt: skip
OURS: Final = [sys.executable, "-m", "scitq.fetch", "copy"]
NOT_OURS: Final = frozenset({"AWS_CA_BUNDLE", "PYTHONDONTWRITEBYTECODE"})
"""What a machine may have set, and no user has: with the one rclone speaks to no store here, and with the other each
start of Python compiles the program anew, as if it had not been installed."""
SLACK: Final = 1.05
"""What a few rounds are off by when nothing differs."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--large-mb", type=int, default=2_000)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--only", choices=[*STORES, "http"])
    given = parser.parse_args()
    release = subprocess.run(["rclone", "version"], capture_output=True, text=True, check=True).stdout.split()[1]
    command = f"`python -m bench.fetching --files {given.files} --large-mb {given.large_mb} --rounds {given.rounds}`"
    findings = Findings("fetch", command, rclone=release.removeprefix("v"))
    folder = Path(tempfile.mkdtemp(prefix="scitq-bench-", dir=given.folder))
    try:
        sources = make(folder, given.files, given.large_mb)
        for name in STORES:
            if given.only in (None, name):
                with findings.part(name):
                    of_store(findings, name, folder, sources, given.large_mb, given.rounds)
        if given.only in (None, "http"):
            with findings.part("http"):
                of_http(findings, folder, given.large_mb, given.rounds)
    finally:
        shutil.rmtree(folder)
    findings.write()
    return findings.code


def make(folder: Path, files: int, large_mb: int) -> dict[str, Path]:
    """What is moved: many small files in folders of a thousand, and a large one."""
    chance = random.Random(1)
    many, large = folder / "many", folder / "one"
    for number in range(files):
        path = many / f"{number // 1_000}" / f"{number}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(chance.randbytes(SMALL_BYTES))
    large.mkdir()
    with (large / "large.bin").open("wb") as file:
        for _ in range(large_mb):
            file.write(chance.randbytes(1_000_000))
    return {f"{files:,} files of 1 KB": many, f"one file of {large_mb:,} MB": large}


def of_store(findings: Findings, name: str, folder: Path, sources: dict[str, Path], large_mb: int, rounds: int) -> None:
    needed = large_mb * 1_000_000 * 4
    if name == "moto" and psutil.virtual_memory().available < needed:
        findings.row(f"{name}: large file", "", "left out: moto keeps all in memory; too little is free", holds=False)
        sources = dict(list(sources.items())[:1])
    with STORES[name]() as store:
        remote = "azure" if name == "azure" else "s3"
        config = folder / "rclone.conf"
        # moto takes no parts of what rclone 1.60 sends; both send it whole.
        config.write_text(store.config.read_text().replace("region", "upload_cutoff = 4Gi\nregion", 1))
        environment = {"SCITQ_RCLONE_CONF": str(config), "RCLONE_CONFIG": str(config)}
        for what, source in sources.items():
            up = Pair(f"{name}: {what}, sent")
            down = Pair(f"{name}: {what}, fetched")
            for number in range(rounds):
                turns = [True, False] if number % 2 == 0 else [False, True]
                buckets = {ours: f"r{number}-{source.name}-{'ours' if ours else 'theirs'}" for ours in turns}
                for bucket in buckets.values():
                    run(["rclone", "mkdir", f"{remote}:{bucket}"], environment)
                for ours in turns:
                    command = (
                        [*OURS, f"{source}/", f"{remote}://{buckets[ours]}/"]
                        if ours
                        else ["rclone", "copy", str(source), f"{remote}:{buckets[ours]}"]
                    )
                    up.add(ours, *run(command, environment))
                for ours in turns:
                    target = folder / "target"
                    command = (
                        [*OURS, f"{remote}://{buckets[False]}/", f"{target}/"]
                        if ours
                        else ["rclone", "copy", f"{remote}:{buckets[False]}", str(target)]
                    )
                    down.add(ours, *run(command, environment))
                    must_be_whole(source, target)
                    shutil.rmtree(target)
                for bucket in buckets.values():
                    run(["rclone", "purge", f"{remote}:{bucket}"], environment)
            up.tell(findings, "rclone copy")
            down.tell(findings, "rclone copy")


def of_http(findings: Findings, folder: Path, large_mb: int, rounds: int) -> None:
    size, target = large_mb * 1_000_000, folder / "target"
    pair = Pair(f"http: one file of {large_mb:,} MB")
    with serving(folder / "one") as (url, _):
        for number in range(rounds):
            for ours in (number % 2 == 0, number % 2 == 1):
                command = [*OURS, url, str(target)] if ours else ["curl", "-sS", "-o", str(target), url]
                pair.add(ours, *run(command, {}))
                if target.stat().st_size != size:
                    raise RuntimeError("not all of it arrived")
                target.unlink()
    pair.tell(findings, "curl")
    peak = max(pair.peak_mb)
    findings.row("http: peak memory", f"{MEMORY_BAR_MB} MB", f"{peak:.0f} MB", peak < MEMORY_BAR_MB)
    with serving(folder / "one", size * 6 // 10) as (url, server):
        run([*OURS, url, str(target)], {})
        must_be_whole(folder / "one", folder, "target")
        server.kill()
        assert server.stdout is not None
        (_, sent), (again, _) = (map(int, line.split()) for line in server.stdout.readlines())
    target.unlink()
    findings.row("http: cut at 60 %, bytes asked for twice", "0", f"{sent - again:,}", again == sent)


class Pair:
    """Seconds of ours and of theirs, in turns."""

    def __init__(self, what: str) -> None:
        self.what = what
        self.seconds: dict[bool, list[float]] = {True: [], False: []}
        self.peak_mb: list[float] = []

    def add(self, ours: bool, seconds: float, peak_mb: float) -> None:
        self.seconds[ours].append(seconds)
        if ours:
            self.peak_mb.append(peak_mb)

    def tell(self, findings: Findings, peer: str) -> None:
        ours, theirs = typical(self.seconds[True]), typical(self.seconds[False])
        each = ", ".join(f"{a:.1f}/{b:.1f}" for a, b in zip(*self.seconds.values(), strict=True))
        words = f"{ours:.1f} s, {peer} {theirs:.1f} s ({ours / theirs:.2f} of it; each {each})"
        findings.row(self.what, f"not slower than {peer}", words, ours <= theirs * SLACK)


def typical(seconds: Sequence[float]) -> float:
    """Between the median of the rounds in which it began and that of those in which it came second: a mean would follow
    a single round in which the disk had other things to do, and one median would choose between the two."""
    return statistics.mean([statistics.median(seconds[0::2]), statistics.median(seconds[1::2] or seconds)])


def run(command: Sequence[str], environment: dict[str, str]) -> tuple[float, float]:
    """How long it takes, and the most memory of it (of its largest process) in MB."""
    os.sync()  # what the one before has written is not written out at this one's expense
    base = {name: value for name, value in os.environ.items() if name not in NOT_OURS}
    began = time.monotonic()
    process = subprocess.Popen(command, env=base | environment)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{command[0]} ended with {process.returncode}")
    return time.monotonic() - began, used.ru_maxrss / 1_000


def must_be_whole(source: Path, target: Path, name: str | None = None) -> None:
    for path in source.rglob("*"):
        there = target / (name or path.relative_to(source))
        if path.is_file() and there.stat().st_size != path.stat().st_size:
            raise RuntimeError(f"{path.name} did not arrive whole")


@contextmanager
def serving(folder: Path, *cuts: int) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    command = [sys.executable, "-m", "bench.http_files", str(folder), *map(str, cuts)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield f"http://127.0.0.1:{process.stdout.readline().strip()}/large.bin", process
        finally:
            process.kill()


if __name__ == "__main__":
    sys.exit(main())
