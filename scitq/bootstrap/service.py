"""What a service manager is told: that the process serves, what it does, that it ends (systemd's Type=notify)."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from contextlib import suppress

READY, STOPPING = "READY=1", "STOPPING=1"


def tell(*states: str, environ: Mapping[str, str] = os.environ) -> None:
    """To whoever started us and wants to know; nobody else notices. It is no reason to fail that he does not listen."""
    address = environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
        sock.settimeout(1.0)
        sock.sendto("\n".join(states).encode(), address.replace("@", "\0", 1) if address[0] == "@" else address)


def doing(what: str) -> str:
    """A line of `systemctl status`."""
    return f"STATUS={' '.join(what.split())}"
