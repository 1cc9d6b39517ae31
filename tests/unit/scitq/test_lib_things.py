"""The objects of the library have the fields of the server's answers, no more and no less."""

from __future__ import annotations

from typing import get_type_hints

import pytest

from scitq.lib import things
from scitq.web import shapes


@pytest.mark.parametrize("name", ["Task", "Execution", "Worker", "Batch"])
def test_an_object_has_the_fields_of_the_answer(name: str) -> None:
    assert set(get_type_hints(getattr(things, name))) == set(get_type_hints(getattr(shapes, name)))
