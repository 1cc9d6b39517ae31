"""Errors of transfers: each is documented, and says whether trying again is of use."""

import inspect
import re
from pathlib import Path

import pytest

from scitq.errors import ScitqError
from scitq.fetch import errors

PAGE = (Path(__file__).parents[3] / "docs/fetch.md").read_text()
ERRORS = [
    one for _, one in inspect.getmembers(errors, inspect.isclass) if issubclass(one, errors.FetchError)
]  # fmt: skip


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: error.__name__)
def test_an_error_stands_in_the_documentation_as_it_is(error: type[errors.FetchError]) -> None:
    row = re.search(rf"^\| `{error.__name__}` \| (\w*) ?\|", PAGE, re.MULTILINE)
    assert row, f"{error.__name__} is not in docs/fetch.md"
    assert row[1] == ("" if error is errors.FetchError else "yes" if error.retryable else "no")


def test_there_is_no_other_in_the_documentation() -> None:
    table = PAGE[PAGE.index("## Errors") :]
    assert set(re.findall(r"^\| `(\w+)`", table, re.MULTILINE)) == {error.__name__ for error in ERRORS}


def test_they_are_errors_of_ours_and_those_of_scitq_1_are_where_they_were() -> None:
    assert issubclass(errors.FetchError, ScitqError)
    assert issubclass(errors.UnsupportedError, errors.FetchErrorNoRepeat)
    assert issubclass(errors.FetchErrorNoRepeat, errors.FetchError)
