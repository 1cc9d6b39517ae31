"""A connection to a host, and nothing that cannot be called off on the way to it: neither a name server nor an address
that does not answer keeps anybody waiting."""

from __future__ import annotations

import errno
import os
import select
import socket
import threading
import time
from typing import Any, Final

from scitq.fetch.watch import Cancellation

_LOOK_EVERY_S: Final = 0.1
_Found = list[tuple[socket.AddressFamily, socket.SocketKind, int, str, Any]]


def connected(host: str, port: int, limit_s: float, cancellation: Cancellation) -> socket.socket:
    """To the first of its addresses that answers; `limit_s` is for each of them, and for what follows."""
    failed: OSError | None = None
    for family, kind, protocol, _, address in _addresses(host, port, cancellation):
        line = socket.socket(family, kind, protocol)
        try:
            _connect(line, address, limit_s, cancellation)
        except OSError as error:
            line.close()
            failed = error
        except BaseException:
            line.close()
            raise
        else:
            line.settimeout(limit_s)
            return line
    raise failed or OSError(errno.EADDRNOTAVAIL, "it has no address")


def _connect(line: socket.socket, address: Any, limit_s: float, cancellation: Cancellation) -> None:
    line.setblocking(False)
    code = line.connect_ex(address)
    ready = select.poll()
    ready.register(line, select.POLLOUT)
    ends = time.monotonic() + limit_s
    while code == errno.EINPROGRESS:
        cancellation.check()
        left_s = ends - time.monotonic()
        if left_s <= 0:
            raise TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))
        if ready.poll(1_000 * min(left_s, _LOOK_EVERY_S)):
            code = line.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if code:
        raise OSError(code, os.strerror(code))


def _addresses(host: str, port: int, cancellation: Cancellation) -> _Found:
    """In a thread of its own: a name server cannot be interrupted, only not be waited for."""
    found: _Found = []
    errors: list[OSError] = []
    done = threading.Event()

    def ask() -> None:
        try:
            found.extend(socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM))
        except (OSError, UnicodeError) as error:  # a host of a name that cannot be one
            errors.append(error if isinstance(error, OSError) else socket.gaierror(socket.EAI_NONAME, str(error)))
        done.set()

    threading.Thread(target=ask, name="name server", daemon=True).start()
    while not done.wait(_LOOK_EVERY_S):
        cancellation.check()
    if errors:
        raise errors[0]
    return found
