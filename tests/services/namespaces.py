"""Two machines on this one: network namespaces with a cable between them that can be cut."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple


class NamespacesMissing(Exception):
    """This machine cannot make them; the text says why."""


class Cable(NamedTuple):
    """Two namespaces and the address of each."""

    near: str
    far: str
    near_address: str
    far_address: str

    def cut(self) -> None:
        _ip("-n", self.near, "link", "set", "near0", "down")

    def mend(self) -> None:
        _ip("-n", self.near, "link", "set", "near0", "up")


@contextmanager
def two_machines() -> Iterator[Cable]:
    """Neither reaches the other but by the cable, nor anything else."""
    number = os.getpid()
    cable = Cable(f"scitq-near-{number}", f"scitq-far-{number}", "10.79.1.1", "10.79.1.2")
    made: list[str] = []
    try:
        for name in (cable.near, cable.far):
            _ip("netns", "add", name)
            made.append(name)
        _ip("-n", cable.near, "link", "add", "near0", "type", "veth", "peer", "name", "far0", "netns", cable.far)
        for name, link, address in ((cable.near, "near0", cable.near_address), (cable.far, "far0", cable.far_address)):
            _ip("-n", name, "addr", "add", f"{address}/30", "dev", link)
            _ip("-n", name, "link", "set", link, "up")
            _ip("-n", name, "link", "set", "lo", "up")
        yield cable
    finally:
        for name in made:
            _ip("netns", "del", name)


def _ip(*words: str) -> None:
    try:
        done = subprocess.run(["ip", *words], capture_output=True, text=True, timeout=20, check=False)
    except FileNotFoundError as error:
        raise NamespacesMissing("the program ip is not installed (Debian: iproute2)") from error
    if done.returncode:
        raise NamespacesMissing(f"ip {' '.join(words)}: {done.stderr.strip()}")
