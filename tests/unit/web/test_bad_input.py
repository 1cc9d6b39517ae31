"""Every route meets every kind of bad input: it says what is wrong, in words, and nothing is written."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

import httpx
import pytest

from scitq.domain.requests import MOST_BYTES
from scitq.web import forms
from scitq.web.app import all_routes
from scitq.web.routing import POSITION, Route
from tests.unit.web.whole import BEARER, Whole

ROUTES = [route for route in all_routes() if isinstance(route, Route)]
CLOSED = [route for route in ROUTES if route.scope != "open"]
JSON: Final = {**BEARER, "Content-Type": "application/json"}
Send = Callable[[Whole, Route, str], httpx.Response]


def named(route: Any) -> str:
    return f"{route.method} {route.path}" if isinstance(route, Route) else str(getattr(route, "__name__", route))


def path_of(route: Route, id: object = 999) -> str:
    return route.path.format(task_id=id, worker_id=id, execution_id=id, name="nobody", status="running")


def raw(content: bytes, **headers: str) -> Send:
    return lambda server, route, path: server.ask(route.method, path, headers={**JSON, **headers}, content=content)


def with_content(content: Any) -> Send:
    return lambda server, route, path: server.ask(route.method, path, content)


def a_field(value: Any) -> Send:
    """Every field of the form at once is this: at least one of them cannot be."""

    def send(server: Whole, route: Route, path: str) -> httpx.Response:
        fields = forms.fields_of(route.form) or {"anything": None}
        return server.ask(route.method, path, dict.fromkeys(fields, value))

    return send


def nested(server: Whole, route: Route, path: str) -> httpx.Response:
    return raw(b'{"task_id":' + b"[" * 2_000 + b"]" * 2_000 + b"}")(server, route, path)


def too_long(server: Whole, route: Route, path: str) -> httpx.Response:
    return raw(b'{"command": "' + b"x" * MOST_BYTES + b'"}')(server, route, path)


def told_too_long(server: Whole, route: Route, path: str) -> httpx.Response:
    return raw(b"{}", **{"Content-Length": str(MOST_BYTES + 1)})(server, route, path)


def endless(server: Whole, route: Route, path: str) -> httpx.Response:
    """Sent in pieces, without saying how long it will be."""

    async def pieces() -> Any:
        for _ in range(MOST_BYTES // 1_000_000 + 1):
            yield b" " * 1_000_000

    return server.ask(route.method, path, headers={**JSON, "Transfer-Encoding": "chunked"}, content=pieces())


BODIES: Final[dict[str, Send]] = {
    "not JSON": raw(b"{"),
    "a list": with_content([1, 2]),
    "a number": raw(b"7"),
    "a text": raw(b'"text"'),
    "null": raw(b"null"),
    "not a number": raw(b'{"task_id": NaN}'),
    "no Unicode": raw(b'{"command": "\xff"}'),
    "half a character": raw(b'{"command": "\\ud800"}'),
    "an unknown field": with_content({"no_such_field": 1}),
    "a fraction": a_field(1.5),
    "a huge number": a_field(10**40),
    "an object": a_field({"a": {"b": "c"}}),
    "a long text": a_field("x" * 1_100_000),
    "a NUL": a_field("a\x00b"),
    "a list of wrong things": a_field([None, {}, 1.5]),
    "deep nesting": nested,
    "too much": too_long,
    "said to be too much": told_too_long,
    "endless": endless,
}


@pytest.mark.parametrize("kind", BODIES)
@pytest.mark.parametrize("route", CLOSED, ids=named)
def test_a_bad_body_is_refused_in_words_and_nothing_is_written(shared: Whole, route: Route, kind: str) -> None:
    before = shared.position
    answer = BODIES[kind](shared, route, path_of(route))
    assert answer.status_code in (400, 413), answer.text
    assert answer.json()["message"]
    assert shared.position == before


@pytest.mark.parametrize("key", ["short", "x" * 65, "with space", "naïve-key", "semi;colon", ""])
def test_a_bad_idempotency_key_is_refused(shared: Whole, key: str) -> None:
    before = shared.position
    headers = {b"Authorization": BEARER["Authorization"].encode(), b"Idempotency-Key": key.encode()}
    for route in (one for one in CLOSED if one.scope == "write"):
        content = route.example or {}
        answer = shared.ask(route.method, path_of(route), content, headers=headers)
        assert answer.status_code == 400, route.path
        assert "Idempotency-Key" in answer.json()["message"]
    assert shared.position == before


@pytest.mark.parametrize("position", ["", "-1", "1.5", "x", "9" * 30, "१"])
def test_a_bad_position_is_refused(shared: Whole, position: str) -> None:
    headers = {b"Authorization": BEARER["Authorization"].encode(), POSITION.encode(): position.encode()}
    for route in (one for one in CLOSED if one.scope == "read"):
        answer = shared.ask(route.method, path_of(route), route.example, headers=headers)
        assert answer.status_code == 400, route.path
        assert POSITION in answer.json()["message"]


@pytest.mark.parametrize("route", [one for one in CLOSED if one.method == "GET"], ids=named)
def test_a_bad_query_is_refused(shared: Whole, route: Route) -> None:
    fields = list(forms.fields_of(route.form))
    for query in ("no_such_field=1", *(f"{name}=%00&{name}=%00" for name in fields)):
        answer = shared.get(f"{path_of(route)}?{query}")
        assert answer.status_code == 400, query
        assert answer.json()["message"]


@pytest.mark.parametrize("route", [one for one in CLOSED if "_id}" in one.path], ids=named)
def test_what_does_not_exist_is_not_found_and_nothing_is_written(shared: Whole, route: Route) -> None:
    before = shared.position
    content = {"signal": 9, "execution_id": 999} if route.path.startswith("/workers") else {"signal": 9}
    body = content if route.method == "POST" else None
    for id in (999, 0, "x", 2**48, -1):
        answer = shared.ask(route.method, path_of(route, id), body)
        assert answer.status_code == 404, (id, answer.text)
        assert answer.json()["message"]
    assert shared.position == before


@pytest.fixture(autouse=True)
def _nothing_was_written(shared: Whole) -> Iterator[None]:
    before = shared.position
    yield
    assert shared.position == before


def test_an_unknown_field_is_told_what_it_may_have_been(shared: Whole) -> None:
    assert "did you mean status?" in shared.get("/tasks/", {"statsu": ["failed"]}).json()["message"]
    assert "did you mean required_task_ids?" in shared.post("/tasks/", {"command": "x", "requires_task_ids": []}).text


def test_a_word_that_is_none_is_told_what_it_may_have_been(shared: Whole) -> None:
    answer = shared.get("/tasks/?status=running,faild").json()
    assert answer["message"] == "status: 'faild' is none: did you mean failed?" and set(answer["errors"]) == {"status"}
    assert "it should be 'running' or 'paused'" in shared.put("/workers/1", {"status": "x"}).json()["message"]


def test_the_errors_name_every_field_that_is_wrong(shared: Whole) -> None:
    answer = shared.post("/tasks/", {"command": "", "retry": -1, "batch": "a/b", "use_cache": "perhaps"}).json()
    assert set(answer["errors"]) == {"command", "retry", "batch", "use_cache"}
    assert "without '/' and ','" in answer["errors"]["batch"]


def test_a_task_in_the_middle_of_many_is_named(shared: Whole) -> None:
    tasks = [{"command": "a"}, {"command": "b", "retry": "many"}, {"command": "c"}]
    assert set(shared.post("/tasks/bulk", {"tasks": tasks}).json()["errors"]) == {"tasks.1.retry"}


@pytest.mark.parametrize(
    "tasks", [[], [{}], [{"command": "x"}] * 10_001, [["echo"]], "echo", [{"command": "x", "task_id": 7}]]
)
def test_bad_bulk_is_refused_whole(shared: Whole, tasks: Any) -> None:
    assert shared.post("/tasks/bulk", {"tasks": tasks}).status_code == 400


@pytest.mark.parametrize(
    "requires", [[-1], [0], [-2], [2**48], [999], [True], ["x"], [1.5], [[1]], {"1": 1}, "1", list(range(1, 100_002))]
)
def test_what_cannot_be_required_is_refused(shared: Whole, requires: Any) -> None:
    assert shared.post("/tasks/", {"command": "x", "required_task_ids": requires}).status_code in (400, 409)


@pytest.mark.parametrize("ids", [[], [0], list(range(1, 10_002)), "all", None, [-1], [True]])
def test_bad_ids_to_act_on_are_refused(shared: Whole, ids: Any) -> None:
    assert shared.post("/tasks/actions", {"action": "delete", "task_ids": ids}).status_code == 400


@pytest.mark.parametrize("name", ["a,b", "x" * 201, "%00", "a%0Ab", "%2F"])
def test_what_cannot_name_a_batch_is_refused(shared: Whole, name: str) -> None:
    for method, path in (("PUT", f"/batch/{name}/stop"), ("PUT", f"/batch/{name}/go"), ("DELETE", f"/batch/{name}")):
        assert shared.ask(method, path).status_code in (400, 404), path


@pytest.mark.parametrize("signal", [0, 65, -9, "KILL", None, 1.5, True, [9], {}])
def test_what_is_no_signal_is_refused(shared: Whole, signal: Any) -> None:
    assert shared.post("/executions/1/signals", {"signal": signal}).status_code == 400


@pytest.mark.parametrize("limit", [0, -1, 10_001, "many", 1.5, True, [1]])
def test_what_is_no_limit_is_refused(shared: Whole, limit: Any) -> None:
    for path in ("/tasks/", "/executions/", "/workers/1/executions"):
        assert shared.get(path, {"limit": limit}).status_code == 400


def test_too_long_filters_are_refused(shared: Whole) -> None:
    assert shared.get("/tasks/", {"task_id": list(range(1, 100_002))}).status_code == 400
    assert shared.get("/tasks/", {"name": ["x"] * 10_001}).status_code == 400
    assert shared.get("/tasks/", {"name": ["x" * 10_001]}).status_code == 400
