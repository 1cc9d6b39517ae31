"""What may be sent: the base of every form, and kinds of values as clients of the first scitq write them.

Strict where it matters: an unknown field, a fraction or a boolean instead of a number are refused. Lenient where old
clients are: a number may come as a text of digits, and one value may stand where several could.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from typing import Annotated, Any, Final, get_args, get_origin, get_type_hints

from annotated_types import Ge, Le, MaxLen
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, TypeAdapter, ValidationError

from scitq.domain.meant import hint
from scitq.domain.requests import Signal
from scitq.web.errors import Refusal, bad_request

LARGEST_ID: Final = 2**48 - 1
MOST_IDS: Final = 100_000
MOST_WORDS: Final = 10_000


class Form(BaseModel):
    """The base of every form: what it does not name is refused."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


def whole(value: Any) -> Any:
    if isinstance(value, str) and len(value) <= 19 and value.removeprefix("-").isdecimal() and value.isascii():
        return int(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def flag(value: Any) -> Any:
    words = {"true": True, "1": True, "false": False, "0": False}
    return words.get(value.lower(), value) if isinstance(value, str) else value


def _several(value: Any) -> Any:
    return value if isinstance(value, list) or value is None else [value]


def _no_nul(text: str) -> str:
    if "\x00" in text:
        raise ValueError("it contains a NUL character")
    return text


SEVERAL: Final = BeforeValidator(_several)
Int = Annotated[int, BeforeValidator(whole)]
Id = Annotated[int, BeforeValidator(whole), Ge(1), Le(LARGEST_ID)]
Flag = Annotated[bool, BeforeValidator(flag)]
Word = Annotated[str, MaxLen(10_000), AfterValidator(_no_nul)]
Ids = Annotated[list[Id], SEVERAL, MaxLen(MOST_IDS)]
Words = Annotated[list[Word], SEVERAL, MaxLen(MOST_WORDS)]
AnySignal = Annotated[Signal, BeforeValidator(whole)]


class Nothing(Form):
    """Nothing is asked for."""


class Page(Form):
    """A part of a list: `limit` rows behind the id `after`, upwards, or downwards with `reverse`."""

    after: Annotated[int, BeforeValidator(whole), Ge(0), Le(LARGEST_ID)] | None = None
    limit: Annotated[int, BeforeValidator(whole), Ge(1), Le(10_000)] | None = None
    reverse: Flag = False


def read(form: Any, content: Any) -> Any:
    """The content as that form, a `Form` or a TypedDict; refused in words that name each field."""
    if not isinstance(content, dict):
        raise bad_request("a JSON object is expected")
    try:
        return adapter(form).validate_python(content)
    except ValidationError as error:
        raise _refused(form, error) from error


@cache
def adapter(form: Any) -> TypeAdapter[Any]:
    """What reads and describes a form."""
    return TypeAdapter(form)


def fields_of(form: Any) -> dict[str, Any]:
    """The names of a form's fields, and what each may be."""
    if issubclass(form, BaseModel):
        return {name: field.annotation for name, field in form.model_fields.items()}
    return dict(get_type_hints(form))


def from_query(form: Any, given: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """Query parameters as the content of a form: what takes several values may be repeated, or divided by commas."""
    content: dict[str, Any] = {}
    fields = fields_of(form)
    for name, text in given:
        if _takes_several(fields.get(name)):
            content.setdefault(name, []).extend(part for part in text.split(",") if part)
        elif name in content:
            raise bad_request(f"{name} is given twice", {name: "it is given twice"})
        else:
            content[name] = text
    return content


def _takes_several(annotation: Any) -> bool:
    return get_origin(annotation) is list or any(_takes_several(part) for part in get_args(annotation))


def _refused(form: Any, error: ValidationError) -> Refusal:
    errors: dict[str, str] = {}
    for one in error.errors(include_url=False)[:100]:
        loc, text = one["loc"], one["msg"].removeprefix("Value error, ")[:1000]
        if one["type"] == "literal_error" and isinstance(one["input"], str):
            loc = loc[:-1] if len(loc) == 2 and isinstance(loc[-1], int) else loc  # of several words, the wrong one
            text = _no_word(one["input"], one["ctx"]["expected"])
        place = ".".join(str(part)[:100] for part in loc) or "the request"
        if one["type"] == "extra_forbidden":
            text = _unknown(form, str(one["loc"][-1])) if len(one["loc"]) == 1 else "there is no such field"
        errors.setdefault(place, text.replace("Input should be", "it should be"))
    place, text = next(iter(errors.items()))
    return bad_request(f"{place}: {text}", errors)


def _no_word(word: str, expected: str) -> str:
    """`expected`: as pydantic says it, in quotation marks."""
    meant = hint(word, re.findall("'([^']*)'", expected))
    return f"{word[:100]!r} is none" + (meant or f"; it should be {expected}")


def _unknown(form: Any, name: str) -> str:
    known = list(fields_of(form))
    there = "; there are " + ", ".join(known) if known else ""
    return "there is no such field" + (hint(name, known) or there)
