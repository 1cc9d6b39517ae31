"""Who may do what; and what a stranger's page may not make a browser do."""

from __future__ import annotations

import base64
import ipaddress
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from scitq.config.values import Token
from scitq.credentials import Credentials
from scitq.web.access import Access
from scitq.web.app import all_routes
from scitq.web.routing import AnyRoute, Route
from tests.unit.web.whole import BEARER, TOKEN, Whole, whole

CLOSED = [route for route in all_routes() if route.scope != "open" and isinstance(route, Route)]
OPEN = [route for route in all_routes() if route.scope == "open" and isinstance(route, Route)]
TRUSTED = [ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("fd00::/8")]
SIGNED = Credentials(Token(TOKEN))


def basic(user: str, secret: str) -> dict[str, str]:
    return {"Authorization": f"Basic {base64.b64encode(f'{user}:{secret}'.encode()).decode()}"}


def path_of(route: AnyRoute) -> str:
    return route.path.format(task_id=1, worker_id=1, execution_id=1, name="tasks", status="running")


def named(route: Route) -> str:
    return f"{route.method} {route.path}"


@pytest.fixture(scope="module")
def trusting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Whole]:
    with whole(tmp_path_factory.mktemp("trusting"), trusted=TRUSTED) as server:
        yield server


@pytest.fixture(scope="module")
def unguarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Whole]:
    with whole(tmp_path_factory.mktemp("unguarded"), auth="none") as server:
        yield server


@pytest.mark.parametrize("route", CLOSED, ids=named)
def test_without_a_token_there_is_nothing_to_see_and_nothing_to_do(shared: Whole, route: Route) -> None:
    before = shared.position
    for headers in ({}, {"Authorization": "Bearer not-the-token-of-this-server"}, {"Authorization": "Bearer"}):
        answer = shared.ask(route.method, path_of(route), headers=headers)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"
        assert set(answer.json()) == {"message", "help"}
    assert shared.position == before


@pytest.mark.parametrize("route", OPEN, ids=named)
def test_what_is_open_needs_no_token(shared: Whole, route: Route) -> None:
    assert shared.ask(route.method, path_of(route), headers={}).status_code in (200, 303, 404)


@pytest.mark.parametrize(
    "header",
    [
        "", "Bearer", "Bearer ", "Basic", "Basic !!!!", "Basic 4pyT", "Digest x", TOKEN, f"Token {TOKEN}",
        f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", f"Bearer {TOKEN.upper()}", f"Bearer {TOKEN} {TOKEN}",
        "Bearer scitq1.w.x.y",
        "Basic " + base64.b64encode(TOKEN.encode()).decode(), "Bearer " + "x" * 5_000,
    ],
)  # fmt: skip
def test_what_is_nearly_the_token_is_not_the_token(shared: Whole, header: str) -> None:
    assert shared.get("/tasks/", headers={"Authorization": header}).status_code == 401


def test_the_token_counts_as_bearer_and_as_password_of_anybody(shared: Whole) -> None:
    for headers in (BEARER, {"Authorization": f"bearer  {TOKEN}"}, basic("", TOKEN), basic("ada", TOKEN)):
        assert shared.get("/tasks/", headers=headers).status_code == 200


@pytest.mark.parametrize(
    ("user", "actor"),
    [("ada", "user:ada"), ("x", "user"), ("", "user"), ("a b\n<c>", "user:a_b__c_"), ("é" * 100, "user:" + "_" * 64)],
)
def test_the_name_somebody_gives_stands_in_the_log_made_safe(server: Whole, user: str, actor: str) -> None:
    assert server.post("/tasks/", {"command": "echo"}, headers=basic(user, TOKEN)).status_code == 201
    created = server.get("/events", {"newest": True, "limit": 1, "type": "task-created"}).json()
    assert created[0]["actor"] == actor


def test_a_workers_credential_opens_nothing_but_the_ways_to_the_engine(shared: Whole) -> None:
    assert {route.path for route in CLOSED if route.scope == "worker"} == {"/workers/broker"}
    for route in (one for one in CLOSED if one.scope != "worker"):
        answer = shared.ask(
            route.method, path_of(route), headers={"Authorization": f"Bearer {SIGNED.for_worker('node1')}"}
        )
        assert answer.status_code == 401, route.path
        assert "the credential of a worker does not give the right" in answer.json()["message"]


def test_an_invitation_may_enrol_and_nothing_else(shared: Whole) -> None:
    invited = {"Authorization": f"Bearer {SIGNED.invitation(60, int(time.time()))}"}
    assert shared.post("/workers/enrol", {"name": "node1"}, headers=invited).status_code == 201
    for route in CLOSED:
        if route.scope != "enrol":
            assert shared.ask(route.method, path_of(route), headers=invited).status_code == 401, route.path


def test_an_expired_invitation_is_told_that_it_is(shared: Whole) -> None:
    old = SIGNED.invitation(60, int(time.time()) - 3_600)
    answer = shared.post("/workers/enrol", {"name": "node1"}, headers={"Authorization": f"Bearer {old}"})
    assert answer.status_code == 401
    assert "expired" in answer.json()["message"]


@pytest.mark.parametrize(
    ("peer", "status"),
    [("10.1.2.3", 200), ("::ffff:10.1.2.3", 200), ("fd00::1", 200), ("11.0.0.1", 401), ("fe80::1", 401), ("unix", 401)],
)
def test_a_machine_is_trusted_by_the_address_of_its_connection(trusting: Whole, peer: str, status: int) -> None:
    assert trusting.get("/tasks/", headers={}, peer=peer).status_code == status


@pytest.mark.parametrize("name", ["X-Forwarded-For", "Forwarded", "X-Real-IP", "X-Client-IP", "True-Client-IP"])
def test_nobody_becomes_trusted_by_writing_an_address(trusting: Whole, name: str) -> None:
    assert trusting.get("/tasks/", headers={name: "10.1.2.3"}).status_code == 401


def test_from_a_trusted_machine_all_but_enrolling_is_possible(trusting: Whole) -> None:
    near = {"headers": dict[str, str](), "peer": "10.0.0.1"}
    assert trusting.post("/tasks/", {"command": "echo"}, **near).status_code == 201
    assert trusting.post("/workers/invite", {}, **near).status_code == 201
    assert trusting.post("/workers/enrol", {"name": "node1"}, **near).status_code == 401


def test_without_authentication_everybody_may_do_all_but_enrol(unguarded: Whole) -> None:
    assert unguarded.post("/tasks/", {"command": "echo"}, headers={}).status_code == 201
    assert unguarded.post("/tasks/", {"command": "echo"}, headers=basic("ada", "anything")).status_code == 201
    assert unguarded.post("/workers/enrol", {"name": "node1"}, headers={}).status_code == 401


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:5000", 200), ("localhost:5000", 200), ("LOCALHOST", 200), ("localhost.", 200), ("[::1]:5000", 200),
        ("192.0.2.1", 200), ("scitq.example", 200), (socket.gethostname(), 200), ("evil.example", 403),
        ("evil.example:5000", 403), ("127.0.0.1.evil.example", 403), ("localhost.evil.example", 403), ("a b", 403),
        ("scitq.example@evil.example", 403),
    ],
)  # fmt: skip
def test_without_a_token_only_our_own_names_lead_to_us(unguarded: Whole, host: str, status: int) -> None:
    assert unguarded.get("/tasks/", headers={"Host": host}).status_code == status


def test_with_the_token_any_name_leads_to_us(shared: Whole, unguarded: Whole) -> None:
    for server in (shared, unguarded):
        assert server.get("/tasks/", headers={**BEARER, "Host": "behind.a.proxy"}).status_code == 200


STRANGERS = [
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "strange"},
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": ""},
    {"Origin": "http://127.0.0.1:5001"},
    {"Origin": "http://127.0.0.1:5000.evil.example"},
    {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"},
]


@pytest.mark.parametrize("stranger", STRANGERS, ids=str)
def test_the_page_of_a_stranger_gets_nothing_even_with_the_token(
    shared: Whole, unguarded: Whole, stranger: dict[str, str]
) -> None:
    for server, mine in ((shared, BEARER), (unguarded, {})):
        for route in CLOSED:
            before = server.position
            answer = server.ask(route.method, path_of(route), headers={**mine, **stranger})
            assert answer.status_code == 403, route.path
            assert "another site" in answer.json()["message"]
            assert server.position == before
        assert server.get("/health", headers=stranger).status_code == 200


@pytest.mark.parametrize(
    "own",
    [
        {"Origin": "http://127.0.0.1:5000"},
        {"Origin": "https://127.0.0.1:5000"},
        {"Sec-Fetch-Site": "same-origin", "Origin": "https://scitq.example"},
        {"Sec-Fetch-Site": "none"},
    ],
    ids=str,
)
def test_our_own_page_may_ask(shared: Whole, own: dict[str, str]) -> None:
    assert (
        shared.post("/tasks/actions", {"action": "pause", "task_ids": [77]}, headers={**BEARER, **own}).status_code
        == 404
    )


def test_what_a_form_of_a_page_can_send_is_no_json(unguarded: Whole) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""):
        content = orjson.dumps({"command": "echo"})
        answer = unguarded.ask("POST", "/tasks/", headers={"Content-Type": kind}, content=content)
        assert answer.status_code == 415
        assert "application/json" in answer.json()["message"]


def test_a_server_that_asks_for_a_token_has_one(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="has one"):
        Access(None)


def test_who_may_what_is_asked_of_the_route_that_was_found_and_not_of_the_path(shared: Whole) -> None:
    """Whatever stands for a slash or a dot to somebody else: it leads to the open route, or to none."""
    for path in (
        "/health/../tasks/",
        "/health%2f..%2ftasks",
        "/ui/..%2ftasks",
        "/HEALTH/../tasks",
        "/health;/tasks",
        "/./tasks",
    ):
        assert shared.get(path, headers={}).status_code in (401, 404), path
