"""Every route is declared, and what is not declared is not there."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import pytest
from starlette.responses import Response

from scitq.web.access import Scope
from scitq.web.app import all_routes, create_app
from scitq.web.routing import Call, Route, Session, Socket, Table, json
from tests.unit.web.whole import Whole, whole


def nothing(call: Call) -> Response:
    return json(None)


async def silence(session: Session) -> None:
    """Says nothing."""


def test_every_route_has_a_scope_and_a_sentence() -> None:
    for route in all_routes():
        assert route.scope in get_args(Scope), route.path
        assert route.summary and not route.summary.endswith("."), route.path


@pytest.mark.parametrize("scope", [None, "", "everybody"])
def test_a_route_without_a_scope_cannot_even_be_declared(scope: Any) -> None:
    with pytest.raises(TypeError, match="no scope"):
        Route("GET", "/x", scope, nothing, "Nothing")
    with pytest.raises(TypeError, match="no scope"):
        Socket("/x", scope, silence, "Nothing")


def test_the_application_refuses_to_be_built_with_what_is_no_declared_route(shared: Whole) -> None:
    class Bare:
        method, path, handler = "GET", "/x", nothing

    with pytest.raises(TypeError, match="is no route"):
        create_app(shared.services, [Bare()])  # type: ignore[list-item]


def test_the_same_route_twice_is_a_mistake() -> None:
    one = Route("GET", "/x/{task_id}", "read", nothing, "One")
    with pytest.raises(TypeError, match="twice"):
        Table([one, Route("GET", "/x/{task_id}/", "open", nothing, "Another")])


def test_only_four_methods_can_be_declared() -> None:
    with pytest.raises(TypeError, match="PATCH"):
        Route("PATCH", "/x", "read", nothing, "Nothing")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "path", ["/tasks", "/tasks/", "/batch", "/batch/", "/workers/tasks", "/workers/tasks/", "/ready/"]
)
def test_a_path_is_found_with_and_without_its_final_slash(shared: Whole, path: str) -> None:
    assert shared.get(path).status_code == 200


@pytest.mark.parametrize(
    "path", ["/nothing", "/tasks//", "/tasks//status", "/tasks/1/2/3", "/" + "x" * 3_000, "/tasks/%2e%2e/workers"]
)
def test_what_is_not_there_is_said_in_json(shared: Whole, path: str) -> None:
    answer = shared.get(path)
    assert answer.status_code == 404
    assert "there is nothing at" in answer.json()["message"]


@pytest.mark.parametrize("id", ["0", "-1", "abc", "01", "1.0", "281474976710656", "9" * 30, "1e3", "१", "%31%00"])
def test_what_is_no_id_is_nothing_that_exists(shared: Whole, id: str) -> None:
    assert shared.get(f"/tasks/{id}").status_code == 404
    assert shared.get(f"/executions/{id}").status_code == 404


def test_the_largest_id_is_looked_up(shared: Whole) -> None:
    assert shared.get(f"/tasks/{2**48 - 1}").json()["message"] == f"there is no task {2**48 - 1}"


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PATCH", "/tasks/", "GET, POST"),
        ("OPTIONS", "/tasks/7", "DELETE, GET, PUT"),
        ("DELETE", "/tasks/status", "GET"),
        ("HEAD", "/tasks/", "GET, POST"),
        ("TRACE", "/health", "GET"),
        ("GET", "/batch/mine/stop", "PUT"),
    ],
)
def test_a_wrong_method_is_told_the_right_ones(shared: Whole, method: str, path: str, allowed: str) -> None:
    answer = shared.ask(method, path)
    assert answer.status_code == 405
    assert answer.headers["allow"] == allowed
    assert method == "HEAD" or answer.json()["message"]


def test_what_watches_the_server_may_ask_for_headers_alone(shared: Whole) -> None:
    assert shared.ask("HEAD", "/health", headers={}).status_code == 200


def test_a_websocket_is_none_for_a_plain_request(shared: Whole) -> None:
    answer = shared.get("/workers/gateway")
    assert answer.status_code == 426
    assert answer.headers["upgrade"] == "websocket"


def test_every_answer_has_the_headers_that_keep_browsers_from_guessing(shared: Whole) -> None:
    for answer in (
        shared.get("/tasks/"),
        shared.get("/nothing"),
        shared.get("/tasks/", headers={}),
        shared.get("/health"),
    ):
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]


def test_a_page_may_run_its_own_scripts_and_nothing_else(shared: Whole) -> None:
    policy = shared.get("/ui/", headers={}).headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "unsafe" not in policy


def test_a_fault_of_ours_is_logged_and_not_shown(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def fall(call: Call) -> Response:
        raise RuntimeError("the secret inner life")

    async def trip(call: Call) -> Response:
        raise RuntimeError("the secret inner life")

    extra = [Route("GET", "/falls", "open", fall, "Falls"), Route("POST", "/trips", "open", trip, "Trips")]
    with whole(tmp_path / "store", extra=extra) as server:
        for answer in (server.get("/falls"), server.post("/trips")):
            assert answer.status_code == 500
            assert answer.json()["message"] == "the server stumbled over this request: its log says why"
            assert answer.headers["x-content-type-options"] == "nosniff"
    assert caplog.text.count("RuntimeError: the secret inner life") == 2
