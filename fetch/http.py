"""http:// and https:// – reading only, and going on where a connection was cut.

A broken download goes on with `Range` and, so that a file which changed meanwhile is noticed, `If-Range`; of servers
that have no ranges, or wrong ones, all is fetched again. The MD5 that some servers offer is verified.
"""

from __future__ import annotations

import base64
import binascii
import http.client
import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from email.utils import parsedate_to_datetime
from http.client import HTTPMessage
from typing import Final

from scitq.fetch.backend import Backend, Item
from scitq.fetch.errors import Changed, FetchErrorNoRepeat, NotFound, Unreachable
from scitq.fetch.http_request import request
from scitq.fetch.part import Part
from scitq.fetch.uri import URI
from scitq.fetch.watch import STALL_S, Cancellation, FileWatch

_BUFFER: Final = 1 << 18
_CONTENT_RANGE: Final = re.compile(r"bytes (\d{1,19})-(\d{1,19})/(\d{1,19}|\*)")
_MD5_ETAG: Final = re.compile(r'"([0-9a-f]{32})"')
_NO_RANGES: Final = "no ranges"


class Http(Backend):
    def stat(self, uri: URI, cancellation: Cancellation, *, md5: bool = False) -> Item:
        found = self.look(uri, cancellation)[0]
        return found if md5 else replace(found, md5=None)

    def look(self, uri: URI, cancellation: Cancellation) -> tuple[Item, str, str | None]:
        """What is there, the address where it is in the end (there may be redirects), and its ETag."""
        try:
            with request(uri, cancellation, STALL_S, "HEAD") as response:
                return _described(uri, response), response.geturl(), response.headers.get("ETag")
        except FetchErrorNoRepeat as error:
            if isinstance(error, NotFound):
                raise
        # Addresses that are signed for GET refuse HEAD, and some servers do not know it.
        with request(uri, cancellation, STALL_S, headers={"Range": "bytes=0-0"}) as response:
            return _described(uri, response), response.geturl(), response.headers.get("ETag")

    def get(self, uri: URI, part: Part, watch: FileWatch) -> None:
        goes_on = part.size > 0 and _NO_RANGES not in part.memory
        headers = _range(part) if goes_on else {}
        with request(uri, watch.cancellation, watch.stall_s, headers=headers) as response:
            if response.status == 416:
                self._nothing_behind(response, uri, part)
                return
            if response.status == 206:
                _must_continue(response, uri, part)
            else:
                if part.size:  # it has no ranges, or another file under this name
                    known = part.memory.get(_NO_RANGES)
                    part.restart()
                    watch.again()
                    part.memory.update({_NO_RANGES: known} if known else {})
                _remember(response, part)
            if part.expected_bytes is not None:
                watch.has_size(part.expected_bytes)
            _read(response, uri, part, watch)

    @staticmethod
    def _nothing_behind(response: http.client.HTTPResponse, uri: URI, part: Part) -> None:
        """The cut was at the very end; or the file has become shorter."""
        if response.headers.get("Content-Range", "").strip() == f"bytes */{part.size}":
            return
        part.restart()
        raise Changed(f"{uri.shown} was changed while it was read")


def _described(uri: URI, response: http.client.HTTPResponse) -> Item:
    headers = response.headers
    return Item(uri, uri.name, "file", _whole_size(response), None, _modified(headers), _md5(headers))


def _range(part: Part) -> dict[str, str]:
    """From where we are; the whole file instead, where it is no longer the one we have the beginning of."""
    asked = {"Range": f"bytes={part.size}-"}
    etag = part.memory.get("ETag", "")
    validator = etag if etag.startswith('"') else part.memory.get("Last-Modified")  # a weak ETag does not do
    return asked | ({"If-Range": validator} if validator else {})


def _must_continue(response: http.client.HTTPResponse, uri: URI, part: Part) -> None:
    """Whether what comes is what we asked for. A server whose ranges are wrong is not asked for them again."""
    begins = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", "").strip())
    if begins is None or int(begins[1]) != part.size:
        part.restart()
        part.memory[_NO_RANGES] = "wrong ones"
        raise Unreachable(f"{uri.shown}: the server answers with a range that was not asked for")
    same_size = begins[3] == "*" or part.expected_bytes in (None, int(begins[3]))
    for name in ("ETag", "Last-Modified"):
        there = response.headers.get(name)
        same_size = same_size and (there is None or part.memory.get(name) in (None, there))
    if not same_size:
        part.restart()
        raise Changed(f"{uri.shown} was changed while it was read")


def _remember(response: http.client.HTTPResponse, part: Part) -> None:
    headers = response.headers
    modified = _modified(headers)
    part.expect(
        size=response.length,
        md5=_md5(headers),
        modified_ns=None if modified is None else int(modified.timestamp()) * 1_000_000_000,
    )
    for name in ("ETag", "Last-Modified"):
        if (value := headers.get(name)) is not None:
            part.memory[name] = value.strip()


def _read(response: http.client.HTTPResponse, uri: URI, part: Part, watch: FileWatch) -> None:
    for piece in _pieces(response):
        part.write(piece)
        watch.moved(len(piece))
    if part.expected_bytes is not None and part.size < part.expected_bytes:
        raise Unreachable(f"{uri.shown}: the connection was cut at {part.size} of {part.expected_bytes} bytes")


def _pieces(response: http.client.HTTPResponse) -> Iterator[memoryview]:
    """What has come, as it comes: the response's own `readinto` waits until a buffer is full, four times as slowly.

    It does well where things come in small portions anyway: TLS has records of 16 kB.
    """
    buffer = memoryview(bytearray(_BUFFER))
    if response.chunked or response.geturl().startswith("https:"):
        while count := response.readinto(buffer):
            yield buffer[:count]
        return
    left = sys.maxsize if response.length is None else response.length
    while left and (count := response.fp.readinto1(buffer[: min(left, _BUFFER)])):
        left -= count
        yield buffer[:count]


def _whole_size(response: http.client.HTTPResponse) -> int | None:
    if response.status == 206:
        found = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", "").strip())
        return int(found[3]) if found and found[3] != "*" else None
    length = response.headers.get("Content-Length", "")
    return int(length) if length.isdecimal() and len(length) < 20 else None


def _modified(headers: HTTPMessage) -> datetime | None:
    try:
        return parsedate_to_datetime(headers.get("Last-Modified", ""))
    except (ValueError, OverflowError):
        return None  # none is said, or nonsense


def _md5(headers: HTTPMessage) -> str | None:
    """In any of the ways in which servers offer one, of the bytes as they are sent."""
    offers = [headers.get("Content-MD5", "")]
    for listed in (headers.get("Digest", ""), headers.get("Repr-Digest", "")):
        offers += [value.strip(":") for name, value in _pairs(listed) if name.lower() == "md5"]
    if headers.get("x-goog-stored-content-encoding", "identity") == headers.get("Content-Encoding", "identity"):
        offers += [value for name, value in _pairs(headers.get("x-goog-hash", "")) if name == "md5"]
    for offer in offers:
        try:
            digest = base64.b64decode(offer.strip(), validate=True)
        except binascii.Error:
            continue  # in a form that nobody knows: as if it were not there
        if len(digest) == 16:
            return digest.hex()
    plain = "kms" not in headers.get("x-amz-server-side-encryption", "") and (
        "x-amz-server-side-encryption-customer-algorithm" not in headers
    )
    etag = _MD5_ETAG.fullmatch(headers.get("ETag", ""))
    return etag[1] if etag and plain and headers.get("Server") == "AmazonS3" else None


def _pairs(text: str) -> list[tuple[str, str]]:
    pairs = (one.strip().partition("=") for one in text.split(","))
    return [(name, value) for name, _, value in pairs]
