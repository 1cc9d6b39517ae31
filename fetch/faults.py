"""What the system says about a file, or about a network, in our words."""

from __future__ import annotations

import errno
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from scitq.fetch.errors import (
    FetchError,
    FetchErrorNoRepeat,
    NoSpace,
    NotAuthorised,
    NotFound,
    Quota,
    TimedOut,
    Unreachable,
    UnsupportedError,
)

_KINDS: Final[dict[int, type[FetchError]]] = {
    errno.ENOENT: NotFound,
    errno.ENOTDIR: NotFound,
    errno.EACCES: NotAuthorised,
    errno.EPERM: NotAuthorised,
    errno.EROFS: NotAuthorised,
    errno.ENOSPC: NoSpace,
    errno.EFBIG: NoSpace,
    errno.EDQUOT: Quota,
    errno.EIO: Unreachable,  # these four: a network file system that may come back
    errno.ESTALE: Unreachable,
    errno.ETIMEDOUT: Unreachable,
    errno.EHOSTDOWN: Unreachable,
    errno.ENAMETOOLONG: UnsupportedError,
    errno.EINVAL: UnsupportedError,
}


def a_folder(shown: str) -> NotFound:
    """It was named as a file is."""
    return NotFound(f"{shown} is a folder: end its name with a slash")


@contextmanager
def of_files(name: str) -> Iterator[None]:
    """Errors of the system become ours. `name` is said where the system does not say which file it means."""
    try:
        yield
    except OSError as error:
        if error.errno is None:
            raise  # no error of the system: bzip2 says so that its data is damaged
        raise of_file(error, name) from error


def of_file(error: OSError, name: str) -> FetchError:
    kind = _KINDS.get(error.errno or 0, FetchErrorNoRepeat)
    about = error.filename if isinstance(error.filename, str) else name
    return kind(f"{about}: {error.strerror or error}")


@contextmanager
def of_network(shown: str) -> Iterator[None]:
    """Errors of a connection become ours. `shown`: the place that is asked for."""
    try:
        yield
    except TimeoutError as error:
        raise TimedOut(f"{shown}: the server says nothing") from error
    except ssl.SSLCertVerificationError as error:
        reason = f"its certificate is not trusted ({error.verify_message}); SSL_CERT_FILE may name authorities"
        raise FetchErrorNoRepeat(f"{shown}: {reason}") from error
    except socket.gaierror as error:
        if error.errno == socket.EAI_NONAME:
            raise NotFound(f"{shown}: there is no host of that name") from error
        raise Unreachable(f"{shown}: {error.strerror}") from error
    except EOFError as error:
        raise Unreachable(f"{shown}: the connection was cut") from error
    except OSError as error:
        raise Unreachable(f"{shown}: {error.strerror or error}") from error
