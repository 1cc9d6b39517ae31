"""What private services have in common: free ports, waiting for a condition, and a death of which nothing is left."""

from __future__ import annotations

import random
import signal
import socket
import subprocess
from pathlib import Path

import psutil

from tests.services.waiting import holds_within

ALONE_S = 5.0
END_S = 20.0


def free_ports(count: int) -> list[int]:
    """Different ones, held until the last is known, and below those that outgoing connections get: one of these would
    take a port in the seconds until its service listens."""
    lowest_given_out = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    probes: list[socket.socket] = []
    try:
        while len(probes) < count:
            probe = socket.socket()
            try:
                probe.bind(("127.0.0.1", random.randrange(lowest_given_out // 2, lowest_given_out)))
            except OSError:
                probe.close()  # somebody has it
            else:
                probes.append(probe)
        return [probe.getsockname()[1] for probe in probes]
    finally:
        for probe in probes:
            probe.close()


def kill_with_children(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """SIGKILL. Returns when it and all its children are gone; the children that would not go, if there are any."""
    family: list[psutil.Process] = []
    try:
        process.send_signal(signal.SIGSTOP)  # so that no child is born while they are counted
        family = psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        pass
    process.kill()
    process.wait()
    # Children end by themselves when they see their parent gone; one that is busy is helped along.
    if not holds_within(ALONE_S, lambda: not any(map(_lives, family))):
        for child in filter(_lives, family):
            child.kill()
        holds_within(END_S, lambda: not any(map(_lives, family)))
    return list(filter(_lives, family))


def _lives(process: psutil.Process) -> bool:
    """False for a zombie too: it is dead, only nobody has asked for its exit code."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
