"""The server's socket. It listens before anything else is loaded: who connects is served a little later."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

from scitq.config import Settings
from scitq.errors import Rejected


@contextmanager
def listening(settings: Settings) -> Iterator[socket.socket]:
    """The socket, bound and listening: whoever connects from now on is served as soon as there is somebody to do it."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        sock = socket.socket(family, kind, protocol)
    except OSError as error:
        raise Rejected(f"cannot listen on {settings.host}: {error.strerror}") from error
    with sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind(address)
            sock.listen(2048)
        except OSError as error:
            raise Rejected(
                f"cannot listen on {settings.host} port {settings.port}: {error.strerror}; "
                "give another one with --port (SCITQ_PORT), or stop what listens there"
            ) from error
        yield sock
