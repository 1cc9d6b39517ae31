"""Rights that a server gives away and need not remember: they are signed, with a key that follows from its token.

    scitq1.w.BEBAcm9vbQ.SIGNATURE      a worker credential: the gateway, under this one worker's name
    scitq1.i.AAAAAGkfVbA.SIGNATURE     an invitation: to enrol, once or often, until it expires

Both may stand wherever a token stands. Every process of a server agrees on them, and a new token revokes them all.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from dataclasses import dataclass
from typing import Final

from scitq.config.values import Token
from scitq.errors import Malformed

PREFIX: Final = "scitq1."
SHORTEST_S: Final = 1
LONGEST_S: Final = 30 * 24 * 3_600
INVITED_S: Final = 3_600
NAME_BYTES: Final = 300
MOST_CHARS: Final = 512
_KEY_OF: Final = b"scitq credentials 1"
_SERIES_OF: Final = b"series"  # no credential: they begin with PREFIX
_WORKER, _INVITATION = "w", "i"
_TIME_BYTES: Final = 8


@dataclass(frozen=True, slots=True)
class Invitation:
    """May enrol workers until `expires` (seconds since 1970), and nothing else."""

    expires: int


@dataclass(frozen=True, slots=True)
class WorkerCredential:
    """May use the gateway as the worker of this name, and nothing else."""

    name: str


class Credentials:
    """Gives them out and reads them back. `now` is in seconds since 1970."""

    def __init__(self, token: Token) -> None:
        self._key = hmac.digest(token.reveal().encode(), _KEY_OF, hashlib.sha256)

    def series(self) -> str:
        """A name for all that follows from this token, which tells nothing about it."""
        return hmac.digest(self._key, _SERIES_OF, hashlib.sha256).hex()[:16]

    def invitation(self, ttl_s: int, now: int) -> str:
        if not SHORTEST_S <= ttl_s <= LONGEST_S:
            raise Malformed(f"an invitation lasts from {SHORTEST_S} second to {LONGEST_S} (30 days), not {ttl_s}")
        return self._signed(_INVITATION, (now + ttl_s).to_bytes(_TIME_BYTES))

    def for_worker(self, name: str) -> str:
        try:
            content = name.encode()
        except UnicodeEncodeError as error:
            raise Malformed("the name of a worker is Unicode text") from error
        if not 1 <= len(content) <= NAME_BYTES:
            raise Malformed(f"the name of a worker has 1 to {NAME_BYTES} bytes in UTF-8, not {len(content)}")
        return self._signed(_WORKER, content)

    def read(self, text: str, now: int) -> Invitation | WorkerCredential:
        """What the text gives a right to; Malformed, in words for whoever sent it, when that is nothing."""
        if len(text) > MOST_CHARS or not text.isascii() or not text.startswith(PREFIX):
            raise Malformed("this is not a credential")
        signed, _, signature = text.rpartition(".")
        # The texts are compared, not what they stand for: base64 has several texts for the same bytes.
        if not hmac.compare_digest(self._signature(signed), signature):
            raise Malformed("this credential is not of this server, or the server's token was changed since")
        kind, _, encoded = signed.removeprefix(PREFIX).partition(".")
        try:
            content = _from_base64(encoded)
            return WorkerCredential(content.decode()) if kind == _WORKER else _invitation(kind, content, now)
        except (binascii.Error, UnicodeDecodeError) as error:  # signed by us, and yet: by another release
            raise Malformed("this credential is of a kind that this release does not know") from error

    def _signed(self, kind: str, content: bytes) -> str:
        text = f"{PREFIX}{kind}.{_to_base64(content)}"
        return f"{text}.{self._signature(text)}"

    def _signature(self, text: str) -> str:
        return _to_base64(hmac.digest(self._key, text.encode(), hashlib.sha256))


def _invitation(kind: str, content: bytes, now: int) -> Invitation:
    if kind != _INVITATION or len(content) != _TIME_BYTES:
        raise Malformed("this credential is of a kind that this release does not know")
    invitation = Invitation(int.from_bytes(content))
    if now >= invitation.expires:
        ago_s = now - invitation.expires
        raise Malformed(f"this invitation expired {_length(ago_s)} ago: ask for a new one")
    return invitation


def _length(seconds: int) -> str:
    units = (("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1))
    unit, in_seconds = next((one for one in units if seconds >= one[1]), units[-1])
    count = seconds // in_seconds
    return f"{count} {unit}" if count == 1 else f"{count} {unit}s"


def _to_base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _from_base64(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
