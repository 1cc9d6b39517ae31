"""How a new worker comes by its credential: an invitation is exchanged for it, once, and the credential is kept.

It lies in the agent's folder, in a file that only its user may read; one that others could have read or written is not
used. It is good for the gateway under one name, and nothing else.
"""

from __future__ import annotations

import os
import secrets
import ssl
import stat
from pathlib import Path
from typing import Final

import httpx

from scitq.config.values import Token
from scitq.errors import AgentError

NAME: Final = "credential"
TIMEOUT_S: Final = 10.0
ADVICE: Final = "ask for a new one"
_MOST_BYTES: Final = 1_024


def enrol(url: str, invitation: str, name: str, folder: Path) -> Token:
    """The credential for a worker of that name, kept in the folder from now on."""
    try:
        answer = httpx.post(
            f"{url.rstrip('/')}/workers/enrol",
            json={"name": name},
            headers={"Authorization": f"Bearer {invitation}"},
            timeout=TIMEOUT_S,
            verify=ssl.create_default_context(),  # the machine's authorities, as for the connection afterwards
        )
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise AgentError(f"the server at {url} cannot be asked for a credential: {error}") from error
    try:
        said = answer.json()
        message = str(said.get("message", ""))[:1_000]
        credential = Token(str(said.get("credential", ""))) if answer.status_code == 201 else None
    except (ValueError, AttributeError):  # no JSON, no object, or nothing that could be a credential
        credential, message = None, ""
    if credential is None:
        why = f": {message}" if message else ""
        if answer.status_code == 401:
            advice = "" if message.endswith(ADVICE) else f"; {ADVICE}"
            raise AgentError(f"the server at {url} does not accept the invitation{why}{advice}")
        raise AgentError(f"the server at {url} answered {answer.status_code} and gave no credential{why}")
    _keep(folder, credential)
    return credential


def kept(folder: Path) -> Token | None:
    """The credential that the folder holds; None when there is none."""
    path = folder / NAME
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise AgentError(f"the credential {path} cannot be read: {error.strerror}") from error
    with open(fd, "rb") as file:
        about = os.fstat(fd)
        if not stat.S_ISREG(about.st_mode) or about.st_uid != os.geteuid() or about.st_mode & 0o077:
            raise AgentError(f"the credential {path} is not used, others could read it: remove it and enrol anew")
        content = file.read(_MOST_BYTES)
    try:
        return Token(content.decode("ascii").removesuffix("\n"))
    except ValueError:  # from None: the error would show what is in the file
        raise AgentError(f"the file {path} holds no credential: remove it and enrol anew") from None


def _keep(folder: Path, credential: Token) -> None:
    """Whole under its name, or not at all."""
    fresh = folder / f".{NAME}.{secrets.token_hex(8)}"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with open(fd, "w") as file:
            file.write(credential.reveal() + "\n")
            file.flush()
            os.fsync(fd)
        fresh.rename(folder / NAME)
    except OSError as error:
        raise AgentError(f"the credential cannot be kept in {folder}: {error.strerror}") from error
