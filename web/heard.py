"""When each worker was last heard, in microseconds since 1970: by this process, or as another one tells."""

from __future__ import annotations


class Heard:
    """A memory, not a fact."""

    def __init__(self) -> None:
        self._at: dict[int, int] = {}
        self._news: dict[int, int] = {}  # what the other processes have not been told

    def note(self, worker: int, at: int) -> None:
        self._at[worker] = self._news[worker] = at

    def note_from_elsewhere(self, worker: int, at: int) -> None:
        self._at[worker] = max(at, self._at.get(worker, 0))

    def take_news(self) -> dict[int, int]:
        news, self._news = self._news, {}
        return news

    def __call__(self, worker: int) -> int | None:
        return self._at.get(worker)
