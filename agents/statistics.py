"""How busy a worker's machine is, once a heartbeat, in the words that programs for scitq 1 read.

    load     "12.5↑ / 0.3"     percent of all cores that ran commands, rising or falling, and that waited for disks
    memory   41.7              percent
    stats    {"load": "0.52 0.58 0.59", "swap": 0.0,
              "disk": {"speed": "10.50/2.25 Mb/s", "usage": ["/:41"], "counter": "12.0/3.1 Gb"},
              "network": {"speed": "0.10/93.20 Mb/s", "counter": "0.4/80.2 Gb"}}

Speeds are since the sample before (read/written, sent/received; the first has none to compare with), counters since the
agent started. Mb and Gb are bytes, and powers of 1024, as they were.
"""

from __future__ import annotations

import json
import os
import time
from collections import deque
from collections.abc import Callable
from typing import Final, NamedTuple

import psutil

REMEMBERED: Final = 10
"""Samples with whose mean a load is compared."""
MOST_DISKS: Final = 16
_NOT_TOLD: Final = (
    "/snap",
    "/boot",
    "/System",
    "/var/lib/docker",
    "/var/lib/containers",
    "/etc",
    "/proc",
    "/sys",
    "/dev",
)
_NOT_CABLES: Final = ("lo", "veth", "docker", "br-", "cni", "virbr", "podman")
_MB, _GB = 1024**2, 1024**3


class Reading(NamedTuple):
    """What the kernel says at a moment. Counters are pairs: read and written, sent and received."""

    at: float
    user_s: float  # of all cores
    waiting_s: float
    all_s: float
    memory: float
    swap: float
    load: tuple[float, float, float]
    disks: tuple[int, int]
    network: tuple[int, int]
    usage: tuple[tuple[str, float], ...]  # of each disk that is mounted


class Sample(NamedTuple):
    """For a heartbeat; `stats` is JSON."""

    load: str
    memory: float
    stats: str


def read() -> Reading:
    """Some dozens of small files; no process is started and nothing is waited for."""
    cpu = psutil.cpu_times()
    cables = [
        counters
        for name, counters in psutil.net_io_counters(pernic=True).items()
        if not name.startswith(_NOT_CABLES)
    ]  # fmt: skip
    return Reading(
        at=time.monotonic(),
        user_s=cpu.user + cpu.nice - getattr(cpu, "guest", 0.0) - getattr(cpu, "guest_nice", 0.0),
        waiting_s=getattr(cpu, "iowait", 0.0),
        all_s=sum(cpu) - getattr(cpu, "guest", 0.0) - getattr(cpu, "guest_nice", 0.0),
        memory=psutil.virtual_memory().percent,
        swap=psutil.swap_memory().percent,
        load=os.getloadavg(),
        disks=_disks(),
        network=(sum(one.bytes_sent for one in cables), sum(one.bytes_recv for one in cables)),
        usage=_usage(),
    )


def _disks() -> tuple[int, int]:
    """Nothing where the kernel does not say, as in some sandboxes."""
    try:
        found = psutil.disk_io_counters()
    except (NotImplementedError, OSError):
        return 0, 0
    return (0, 0) if found is None else (found.read_bytes, found.write_bytes)


def _usage() -> tuple[tuple[str, float], ...]:
    """Disks of this machine, each once; those of others might not answer, and then neither would we."""
    found: dict[str, tuple[str, float]] = {}
    for part in psutil.disk_partitions(all=False):
        if part.device in found or part.mountpoint.startswith(_NOT_TOLD):
            continue
        try:
            found[part.device] = part.mountpoint, psutil.disk_usage(part.mountpoint).percent
        except OSError:  # it was unmounted this moment, or is not for us
            continue
        if len(found) == MOST_DISKS:
            break
    return tuple(found.values())


class Statistics:
    """One machine's, from one sample to the next."""

    def __init__(self, read: Callable[[], Reading] = read) -> None:
        self._read = read
        self._first = self._last = read()
        self._loads: deque[float] = deque(maxlen=REMEMBERED)

    def sample(self) -> Sample:
        """Now."""
        last, now = self._last, self._read()
        self._last = now
        passed = max(now.all_s - last.all_s, 1e-9)
        user = _percent(now.user_s - last.user_s, passed)
        waiting = _percent(now.waiting_s - last.waiting_s, passed)
        mean = sum(self._loads) / len(self._loads) if self._loads else user
        trend = "↑" if user > mean else "↓" if user < mean else ""
        self._loads.append(user)
        known = len(self._loads) > 1
        stats = {
            "load": " ".join(f"{one:.2f}" for one in now.load),
            "swap": now.swap,
            "disk": {
                "speed": _speed(now.disks, last.disks, now.at - last.at) if known else "-/-",
                "usage": [f"{place}:{percent:.0f}" for place, percent in now.usage],
                "counter": _counter(now.disks, self._first.disks),
            },
            "network": {
                "speed": _speed(now.network, last.network, now.at - last.at) if known else "-/-",
                "counter": _counter(now.network, self._first.network),
            },
        }
        return Sample(f"{user:.1f}{trend} / {waiting:.1f}", now.memory, json.dumps(stats))


def _percent(part: float, whole: float) -> float:
    return min(max(100.0 * part / whole, 0.0), 100.0)  # iowait of a core may go backwards


def _speed(now: tuple[int, int], last: tuple[int, int], seconds: float) -> str:
    first, second = (max(a - b, 0) / _MB / max(seconds, 1e-9) for a, b in zip(now, last, strict=True))
    return f"{first:.2f}/{second:.2f} Mb/s"


def _counter(now: tuple[int, int], first: tuple[int, int]) -> str:
    one, other = (max(a - b, 0) / _GB for a, b in zip(now, first, strict=True))
    return f"{one:.1f}/{other:.1f} Gb"
