"""What a notebook shows of answers, and that nothing from outside becomes part of the page."""

from __future__ import annotations

import json
import pickle
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import orjson
import pytest

from scitq.lib import Server, Task
from tests.unit.scitq.scripted import Said, in_turn, serving

EVIL = "<script>alert('x')</script> \"'&<b onmouseover=x>"
TASK = {"task_id": 7, "name": EVIL, "status": "running", "command": EVIL, "batch": EVIL, "attempts": 1,
        "worker_id": None, "status_date": "2026-11-20T18:36:21.153899", "required_task_ids": [1, 2]}  # fmt: skip
BATCH = {"batch": EVIL, "tasks": 10, "succeeded": 4, "running": 5, "failed": 1, "waiting": None, "stopped": True,
         "workers": EVIL}  # fmt: skip


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("SCITQ_SERVER", raising=False)


class Page(HTMLParser):
    """The elements and the text of a piece of HTML, which must be closed in the order it was opened."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.text = ""
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def shown(answer: Any) -> Page:
    page = Page(answer._repr_html_())
    assert page.tags <= {"div", "table", "thead", "tbody", "tr", "th", "td", "b", "i", "pre", "span"}
    assert page.attributes <= {"style", "title"}
    return page


@pytest.mark.parametrize("style", ["dict", "object"])
def test_tasks_are_a_table_and_a_task_is_a_card_and_commands_stay_text(style: Any) -> None:
    with serving(in_turn(Said([TASK] * 60), Said(TASK), Said([]))) as there, Server(there.url, style=style) as server:
        many, one, none = server.tasks(), server.task_get(7), server.tasks(batch="no")
    page = shown(many)
    assert page.text.count(EVIL) == 3 * 50 and "and 10 more" in page.text and "2026-11-20 18:36:21" in page.text
    card = shown(one)
    assert card.text.startswith("Task 7") and "running" in card.text and "[1, 2]" in card.text
    assert "no tasks" in shown(none).text


def test_batches_have_bars() -> None:
    with serving(in_turn(Said([BATCH]))) as there, Server(there.url) as server:
        found = server.batches()
    html = found._repr_html_()  # type: ignore[attr-defined]
    assert "width:40.00%" in html and 'title="5 running"' in html
    text = shown(found).text
    assert EVIL in text and "10 tasks" in text and "4 succeeded, 5 running, 1 failed" in text and "(stopped)" in text


def test_answers_are_the_dicts_and_lists_that_they_were() -> None:
    with serving(in_turn(Said([TASK]), Said(TASK))) as there, Server(there.url) as server:
        many, one = server.tasks(), server.task_get(7)
    assert many == [one] and type(many).__mro__[1] is list and type(one).__mro__[1] is dict
    assert orjson.loads(orjson.dumps(many)) == json.loads(json.dumps(many, default=datetime_text))
    kept = pickle.loads(pickle.dumps((many, one)))
    assert kept == (many, one) and type(kept[0]) is list and type(kept[1]) is dict


def datetime_text(value: Any) -> str:
    return str(value.isoformat())


def test_things_say_what_they_are_in_a_line() -> None:
    task = Task(task_id=7, name=None, status="failed", command="gzip " + "x" * 100)
    assert repr(task) == f"<Task 7 failed: {'gzip ' + 'x' * 54 + '…'!r}>"
    assert repr([task]).startswith("[<Task 7") and task.status == "failed"
