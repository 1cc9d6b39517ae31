"""Which code speaks which protocol; it is loaded when it is first needed."""

from __future__ import annotations

import importlib
import threading
from typing import Final

from scitq.fetch.backend import Backend
from scitq.fetch.errors import BadURI, UnsupportedError
from scitq.fetch.uri import ON_HOSTS, URI, meant

_PLACES: Final = {
    "fasp": "scitq.fetch.aspera:Aspera",
    "file": "scitq.fetch.local:LocalFiles",
    "ftp": "scitq.fetch.ftp:Ftp",
    "http": "scitq.fetch.http:Http",
    "https": "scitq.fetch.http:Http",
    "run+fastq": "scitq.fetch.runs:Runs",
    "run+submitted": "scitq.fetch.runs:Runs",
}
_OPTIONS: Final = {
    "run+fastq": ("aria2", "aspera", "filter_r1", "ftp", "sra"),
    "run+submitted": ("aria2", "aspera", "ftp"),
}
_ARIA2: Final = "scitq.fetch.aria2:Aria2"
_REMOTE: Final = "scitq.fetch.rclone:Rclone"
_made: Final[dict[str, Backend]] = {}
_making: Final = threading.Lock()


def backend_of(uri: URI) -> Backend:
    """The one for all URIs of this kind, shared by all threads."""
    place = _place(uri)
    with _making:
        if place not in _made:
            module, name = place.split(":")
            _made[place] = getattr(importlib.import_module(module), name)()
        return _made[place]


def protocols() -> list[str]:
    """Those that can be written before `://`: ours, and the remotes of rclone.conf."""
    from scitq.fetch.rclone_daemon import remotes

    return sorted({*_PLACES, *remotes()})


def check_uri(uri: str | URI) -> str:
    """The protocol of a URI; raises, in words, for one that nothing here can fetch."""
    place = URI(uri)
    _place(place)
    return place.protocol


def _place(uri: URI) -> str:
    if uri.protocol not in _PLACES and uri.protocol not in (known := protocols()):
        raise BadURI(_unknown(uri.protocol, known), 0, _like(uri, known))
    if uri.options == ("aria2",) and uri.protocol in ON_HOSTS:
        return _ARIA2
    known_options = _OPTIONS.get(uri.protocol, ())
    if wrong := [option for option in uri.options if option not in known_options]:
        only = f", only {', '.join(known_options)}" if known_options else ""
        raise UnsupportedError(f"{uri.protocol}:// has no option {wrong[0]}{only}")
    return _PLACES.get(uri.protocol, _REMOTE)


def _unknown(protocol: str, known: list[str]) -> str:
    words = f"there is no protocol {protocol[:40]!r}, only {', '.join(known)}"
    if protocol in ("s3", "azure", "gs"):
        words += f"; it is there as soon as rclone.conf has a remote of the name {protocol}"
    return words


def _like(uri: URI, known: list[str]) -> str | None:
    close = meant(uri.protocol, known)
    return f"{close}://…" if close else None
