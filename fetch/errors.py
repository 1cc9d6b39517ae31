"""What goes wrong when data moves, and whether trying again can mend it: `retryable`, as in all errors of ours.

FetchError
├── Unreachable           heals  no connection, one that was cut, or a server that is busy
├── TimedOut              heals  nothing came for too long, or too little
├── Changed               heals  the source became another one while it was read
├── Corrupt               heals  what arrived is not what the source says it has
└── FetchErrorNoRepeat           what will be the same the next time
    ├── NotFound
    ├── NotAuthorised
    ├── Quota                    the store's owner has used up what he may use
    ├── NoSpace                  the disk here is full
    ├── NotSafe                  an archive, or a name, that would reach out of its folder or fill the disk
    ├── NotInstalled             a program that is needed is not there
    ├── Cancelled
    └── UnsupportedError         what a protocol, or an action, cannot do
        └── BadURI               text that is no URI

The three names that end in words of their own are those of scitq 1; they mean what they meant there.
"""

from __future__ import annotations

from typing import Final

from scitq.errors import ScitqError


class FetchError(ScitqError):
    """Root of this tree. The text is a sentence for the user, and never holds a secret."""

    retryable = True


class Unreachable(FetchError):
    """No connection, one that was cut, or a server that is busy. `retry_after_s`: when it wants to be asked again."""

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        self.retry_after_s = retry_after_s
        super().__init__(message)


class TimedOut(FetchError):
    """Nothing came for too long, or too little for the size of it."""


class Changed(FetchError):
    """The source became another one while it was read: what was fetched of the old one is of no use."""


class Corrupt(FetchError):
    """What arrived is not what the source says it has: another size, or another checksum."""


class FetchErrorNoRepeat(FetchError):
    """What will be the same however often it is tried."""

    retryable = False


class NotFound(FetchErrorNoRepeat):
    """There is nothing of that name."""


class NotAuthorised(FetchErrorNoRepeat):
    """It may not be read, or written, with the credentials at hand, or without any."""


class Quota(FetchErrorNoRepeat):
    """The store takes no more: what its owner may use is used up."""


class NoSpace(FetchErrorNoRepeat):
    """No space is left on the disk here. What was written of the file is removed."""


class NotSafe(FetchErrorNoRepeat):
    """An archive, or a name, that would reach out of its folder or fill the disk. Nothing of it is kept."""


class NotInstalled(FetchErrorNoRepeat):
    """A program that is needed is not there; the text says how to install it."""


class Cancelled(FetchErrorNoRepeat):
    """The caller called it off. What was written of the file is removed."""


HERE: Final = (NoSpace, NotSafe, Cancelled)
"""What another source of the same would not mend."""


class UnsupportedError(FetchErrorNoRepeat):
    """What a protocol or an action cannot do."""


class BadURI(UnsupportedError, ValueError):
    """Text that is no URI. `position` counts characters from 0; `suggestion` is what may have been meant."""

    def __init__(self, reason: str, position: int, suggestion: str | None = None) -> None:
        self.position, self.suggestion = position, suggestion
        meant = f"; did you mean {suggestion}?" if suggestion else ""
        super().__init__(f"this is no URI: {reason} (at character {position + 1}){meant}")
