"""Places of data as scitq 1 had them: `URI("s3://bucket") / "folder/"`, which can be asked what is there."""

from __future__ import annotations

from typing import Literal

from scitq import fetch
from scitq.fetch.errors import NotFound

__all__ = ["URI"]


class URI(fetch.URI):
    """A `scitq.fetch.URI` that looks. The protocol must be one that is known here, unless `proto` says that it is."""

    __slots__ = ()

    def __init__(self, uri: str | fetch.URI, proto: str | None = None) -> None:
        super().__init__(uri)
        if proto is None:
            fetch.check_uri(self)

    @property
    def info(self) -> fetch.Item:
        """What is there; `NotFound` if nothing is."""
        return fetch.info(self)

    def list(self) -> list[fetch.Item]:
        """All that is below."""
        return fetch.list_content(self)

    def exists(self) -> bool:
        return self._kind() is not None

    def isfile(self) -> bool:
        return self._kind() == "file"

    def isdir(self) -> bool:
        return self._kind() == "dir"

    def check_type(self, kind: Literal["file", "dir"]) -> bool:
        return self._kind() == kind

    def _kind(self) -> str | None:
        try:
            return self.info.type
        except NotFound:
            return None
