"""What rclone says when it cannot, in our words: it speaks for a hundred stores, each with words of its own."""

from __future__ import annotations

import re
from typing import Final

from scitq.fetch.errors import (
    Corrupt,
    FetchError,
    FetchErrorNoRepeat,
    NoSpace,
    NotAuthorised,
    NotFound,
    Quota,
    Unreachable,
)

_KINDS: Final[tuple[tuple[type[FetchError], str], ...]] = (
    (NoSpace, r"no space left on device|too big for remaining disk space"),
    (Quota, r"quota|insufficient storage|account is full|storageQuotaExceeded"),
    (NotFound, r"not found|NoSuch(Bucket|Key)|no such (host|file)|doesn't exist|ContainerNotFound|BlobNotFound"),
    (
        NotAuthorised,
        r"access ?denied|forbidden|unauthori[sz]ed|status code: 40[13]|\b40[13]\b|InvalidAccessKeyId|permission denied"
        r"|SignatureDoesNotMatch|AuthenticationFailed|AuthorizationFailure|invalid_grant|token expired|credentials",
    ),
    (Corrupt, r"corrupted on transfer|hash(es)? differ|sizes differ"),
    (
        FetchErrorNoRepeat,
        r"config file|InvalidBucketName|is a file not a directory|status code: 400|unknown flag"
        r"|LoadCustomCABundle|RESPONSE (Status|400): 400",
    ),
    (Unreachable, r"timeout|refused|reset|EOF|status code: 5\d\d|SlowDown|TooManyRequests|\b429\b|\b50[0234]\b"),
)
_SIGNED: Final = re.compile(r"\?[^\s\"']*")
_AZURE: Final = re.compile(r"RESPONSE (?:Status|\d{3}): (\d{3} [^\n]+)")
"""The one line of Azure's answer that says what is wrong; around it stand thirty of the request."""
_LONGEST: Final = 300


def refusal(said: str, shown: str) -> FetchError:
    """The error for what rclone said. What nobody foresaw is tried again: it may well be the network."""
    azure = _AZURE.search(said)
    sentence = azure[1] if azure else said.removeprefix("error in ListJSON: ")
    words = " ".join(_SIGNED.sub("?***", sentence).split())[:_LONGEST]
    kind = next((kind for kind, pattern in _KINDS if re.search(pattern, said, re.IGNORECASE)), Unreachable)
    return kind(f"{shown}: {words}")
