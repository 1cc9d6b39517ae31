"""Other machines on this one: network namespaces, two with a cable that can be cut, or many around a switch."""

from __future__ import annotations

import ctypes
import os
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Final, NamedTuple, TypeVar

T = TypeVar("T")

NOBODY: Final = "02:00:00:00:de:ad"
"""A card that no machine has."""
CLONE_NEWNET: Final = 0x40000000


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


class Network:
    """Machines around a switch. What goes from one to another can be made to vanish: neither is told, as when a switch
    dies or a firewall has changed its mind. The addresses are the machines' own, nobody outside reaches them."""

    def __init__(self, *names: str) -> None:
        self._number = os.getpid()
        self._numbers = {name: number for number, name in enumerate(names, 1)}
        self._switch = f"scitq-switch-{self._number}"

    def namespace(self, name: str) -> str:
        return f"scitq-{name}-{self._number}"

    def address(self, name: str) -> str:
        return f"10.78.1.{self._numbers[name]}"

    def lose(self, sender: str, receiver: str) -> None:
        """What `sender` sends to `receiver` does not arrive any more; the other way nothing changes."""
        where = ("-n", self.namespace(sender), "neigh")
        _ip(*where, "replace", self.address(receiver), "lladdr", NOBODY, "dev", "eth0", "nud", "permanent")

    def cut(self, one: str, other: str) -> None:
        self.lose(one, other)
        self.lose(other, one)

    def mend(self, one: str, other: str) -> None:
        """Whatever was lost between them."""
        for sender, receiver in ((one, other), (other, one)):
            where = ("-n", self.namespace(sender), "neigh")
            known = _ip(*where, "show", self.address(receiver))
            if NOBODY in known:
                _ip(*where, "del", self.address(receiver), "dev", "eth0")

    def inside(self, name: str, do: Callable[[], T]) -> T:
        """What `do` gives on that machine: connections it makes, and processes it starts, are there."""
        with ThreadPoolExecutor(1, initializer=_enter, initargs=(self.namespace(name),)) as thread:
            return thread.submit(do).result()

    def make(self) -> None:
        _ip("netns", "add", self._switch)
        _ip("-n", self._switch, "link", "add", "switch", "type", "bridge")
        _ip("-n", self._switch, "link", "set", "switch", "up")
        for name, number in self._numbers.items():
            space, port = self.namespace(name), f"port{number}"
            _ip("netns", "add", space)
            _ip("-n", self._switch, "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", space)
            _ip("-n", self._switch, "link", "set", port, "master", "switch", "up")
            _ip("-n", space, "addr", "add", f"{self.address(name)}/24", "dev", "eth0")
            for link in ("eth0", "lo"):
                _ip("-n", space, "link", "set", link, "up")

    def remove(self) -> None:
        there = {line.split()[0] for line in _ip("netns", "list").splitlines() if line}
        for space in (self._switch, *map(self.namespace, self._numbers)):
            if space in there:
                _ip("netns", "del", space)


@contextmanager
def network(*names: str) -> Iterator[Network]:
    made = Network(*names)
    try:
        made.make()
        yield made
    finally:
        made.remove()


def _enter(namespace: str) -> None:
    """The present thread, and what it starts, into that namespace."""
    with open(f"/run/netns/{namespace}") as file:
        if ctypes.CDLL(None, use_errno=True).setns(file.fileno(), CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), f"setns {namespace}")


def _ip(*words: str) -> str:
    try:
        done = subprocess.run(["ip", *words], capture_output=True, text=True, timeout=20, check=False)
    except FileNotFoundError as error:
        raise NamespacesMissing("the program ip is not installed (Debian: iproute2)") from error
    if done.returncode:
        raise NamespacesMissing(f"ip {' '.join(words)}: {done.stderr.strip()}")
    return done.stdout
