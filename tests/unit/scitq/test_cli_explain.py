"""scitq explain: by word, by class, by the link of an answer; and what is nearly one."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from scitq.cli import main
from scitq.explained import EXPLAINED


def explain(*words: str, code: int = 0) -> str:
    done = CliRunner().invoke(main.app, ["explain", *words])
    assert done.exit_code == code, done.output
    return done.output


def test_without_a_word_each_entry_has_a_line() -> None:
    lines = explain().splitlines()
    assert [line.split()[0] for line in lines] == list(EXPLAINED)
    assert all(len(line) <= 103 for line in lines)


@pytest.mark.parametrize("word", ["not-allowed", "NotAllowed", "/docs/#not-allowed"])
def test_an_entry_says_what_it_means_and_what_to_do(word: str) -> None:
    said = explain(word)
    assert said.startswith("not-allowed (HTTP 401, scitq.errors.NotAllowed)")
    assert "What to do: Set SCITQ_TOKEN" in said


def test_what_is_nearly_a_word_is_asked_for() -> None:
    assert "did you mean not-allowed?" in explain("not-alowed", code=2)
    assert "scitq explain lists them" in explain("42", code=2)
