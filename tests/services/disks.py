"""Small file systems in memory, to be filled."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class DisksMissing(Exception):
    """None can be mounted here; the text says why."""


@contextmanager
def small_disk(folder: Path, options: str = "size=2m") -> Iterator[Path]:
    """At that folder, which is made where it is not; `options` are those of a tmpfs."""
    if os.geteuid() != 0:
        raise DisksMissing("only root can mount a file system")
    folder.mkdir(exist_ok=True)
    words = ["mount", "-t", "tmpfs", "-o", options, "small", str(folder)]
    done = subprocess.run(words, capture_output=True, check=False)
    if done.returncode != 0:
        raise DisksMissing(f"no file system can be mounted here: {done.stderr.decode(errors='replace').strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True, timeout=20)


def fill(folder: Path) -> Path:
    """To the last byte, with a file that is returned."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:  # this is what was wanted
            return filler
