"""What the web answers when it cannot do as it was asked: one exception, one shape.

{"message": "a sentence for the user", "help": "where it is explained"}, and for a form
{"errors": {"field": "what is wrong with it"}} beside it
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import orjson
from starlette.responses import Response

from scitq import explained
from scitq.errors import BusUnavailable, Malformed, Rejected, ScitqError, StoreUnavailable

RETRY: Final[Mapping[str, str]] = {"Retry-After": "1"}
_WORDS: Final[Mapping[int, str]] = {one.status: one.word for one in reversed(explained.REFUSALS) if one.status}


class Refusal(ScitqError):
    """An answer that is not what was asked for. Raised anywhere below a route, it becomes the response.

    `word` is its entry in `scitq.explained`; the first one of its status unless another is named.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        errors: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        word: str | None = None,
    ) -> None:
        self.status, self.message, self.errors, self.headers = status, message, errors, headers
        self.word = word or _WORDS[status]
        super().__init__(message)


def bad_request(message: str, errors: Mapping[str, str] | None = None) -> Refusal:
    return Refusal(400, message, errors=errors)


def unauthorised(message: str) -> Refusal:
    return Refusal(401, message, headers={"WWW-Authenticate": "Bearer"})


def forbidden(message: str) -> Refusal:
    return Refusal(403, message)


def not_found(message: str) -> Refusal:
    return Refusal(404, message)


def conflict(message: str, word: str | None = None) -> Refusal:
    return Refusal(409, message, word=word)


def too_large(message: str) -> Refusal:
    return Refusal(413, message)


def unavailable(message: str) -> Refusal:
    return Refusal(503, message, headers=RETRY)


def from_ours(error: ScitqError) -> Refusal | None:
    """The refusal that one of our errors is, if it is the sender's fault or will pass; None: it is a fault of ours."""
    match error:
        case Refusal():
            return error
        case Malformed():
            return bad_request(str(error))
        case Rejected():
            return conflict(str(error))
        case BusUnavailable():
            return unavailable(f"the server cannot take this now: {error}")
        case StoreUnavailable():
            return unavailable("the store cannot be read now: try again in a moment")
        case _:
            return None


def help_at(word: str) -> str:
    """Where this server explains a refusal."""
    return f"/docs/#{word}"


def response(refusal: Refusal) -> Response:
    """The refusal as it is sent."""
    body: dict[str, Any] = {"message": refusal.message, "help": help_at(refusal.word)}
    if refusal.errors is not None:
        body["errors"] = refusal.errors
    return Response(orjson.dumps(body), refusal.status, refusal.headers, "application/json")
