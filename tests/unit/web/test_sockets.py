"""The same over real sockets, where a body can be too long before it has come and a handshake can be refused."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import httpx
import orjson
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from scitq.domain.requests import MOST_BYTES
from scitq.projections import tasks
from scitq.web import lists
from tests.unit.web.whole import BEARER, Whole, whole


@pytest.fixture(scope="module")
def listening(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Whole, int]]:
    """A whole server behind uvicorn, in the same loop."""
    with whole(tmp_path_factory.mktemp("store")) as server, server.listening() as port:
        yield server, port


@pytest.fixture
def client(listening: tuple[Whole, int]) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"http://127.0.0.1:{listening[1]}", headers=BEARER, trust_env=False) as made:
        yield made


def raw(port: int, request: bytes) -> bytes:
    """What comes back until the server closes, or has answered."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as line:
        line.sendall(request)
        line.shutdown(socket.SHUT_WR)
        parts = []
        while part := line.recv(65_536):
            parts.append(part)
    return b"".join(parts)


def test_a_get_carries_a_body_as_old_clients_send_it(client: httpx.Client) -> None:
    client.post("/tasks/", json={"command": "echo", "batch": "mine"})
    assert client.request("GET", "/tasks/", json={"batch": "nobody"}).json() == []
    assert client.request("GET", "/tasks", json={}).status_code == 200


def test_a_body_without_an_end_is_refused_when_it_is_too_much(
    listening: tuple[Whole, int], client: httpx.Client
) -> None:
    before = listening[0].position

    def endless() -> Iterator[bytes]:
        for _ in range(3 * MOST_BYTES // 65_536):
            yield b" " * 65_536

    try:
        answer = client.post("/tasks/bulk", content=endless(), headers={"Content-Type": "application/json"})
    except httpx.HTTPError:  # it was answered and the line closed while we were still sending
        pass
    else:
        assert answer.status_code == 413
    assert listening[0].position == before
    assert client.get("/health").status_code == 200


def test_a_body_that_says_it_is_too_long_is_refused_before_it_comes(listening: tuple[Whole, int]) -> None:
    head = f"POST /tasks/bulk HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: {BEARER['Authorization']}\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {MOST_BYTES + 1}\r\n\r\n"
    assert raw(listening[1], head.encode()).startswith(b"HTTP/1.1 413 ")


def test_a_body_that_breaks_off_writes_nothing(listening: tuple[Whole, int]) -> None:
    before = listening[0].position
    head = f"POST /tasks/ HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: {BEARER['Authorization']}\r\n"
    head += 'Content-Type: application/json\r\nContent-Length: 50\r\n\r\n{"command": "echo"}'
    raw(listening[1], head.encode())
    assert listening[0].position == before
    assert httpx.get(f"http://127.0.0.1:{listening[1]}/health", trust_env=False).status_code == 200


def test_headers_alone_have_no_body(client: httpx.Client) -> None:
    answer = client.head("/health")
    assert (answer.status_code, answer.content) == (200, b"")


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer not-the-token-of-this-server"}], ids=str)
def test_a_handshake_without_the_right_is_answered_401_in_json(
    listening: tuple[Whole, int], headers: dict[str, str]
) -> None:
    with pytest.raises(InvalidStatus) as refused:
        connect(f"ws://127.0.0.1:{listening[1]}/workers/gateway", additional_headers=headers, proxy=None).close()
    assert refused.value.response.status_code == 401
    assert refused.value.response.headers["WWW-Authenticate"] == "Bearer"
    assert orjson.loads(refused.value.response.body or b"")["message"]


@pytest.mark.parametrize("path", ["/nothing", "/tasks/", "/workers/gateway/more"])
def test_a_handshake_where_there_is_no_websocket_is_not_found(listening: tuple[Whole, int], path: str) -> None:
    with pytest.raises(InvalidStatus) as refused:
        connect(f"ws://127.0.0.1:{listening[1]}{path}", additional_headers=BEARER, proxy=None).close()
    assert refused.value.response.status_code == 404


def test_the_page_of_a_stranger_cannot_open_a_websocket(listening: tuple[Whole, int]) -> None:
    with pytest.raises(InvalidStatus) as refused:
        connect(
            f"ws://127.0.0.1:{listening[1]}/workers/gateway",
            additional_headers=BEARER, origin="https://evil.example", proxy=None,
        ).close()  # type: ignore[call-overload]  # fmt: skip
    assert refused.value.response.status_code == 403


def test_one_that_may_is_let_in(listening: tuple[Whole, int]) -> None:
    url = f"ws://127.0.0.1:{listening[1]}/workers/gateway"
    with connect(url, additional_headers=BEARER, subprotocols=["scitq.1"], proxy=None) as line:  # type: ignore[list-item]
        assert line.subprotocol == "scitq.1"


def test_a_list_that_cannot_be_read_to_its_end_does_not_look_whole(
    listening: tuple[Whole, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    server, port = listening
    server.post("/tasks/bulk", {"tasks": [{"command": "x"}] * 10})
    server.shown()
    monkeypatch.setattr(lists, "PORTION", 4)
    page, calls = tasks.page, list[Any]()

    def failing(*args: Any, **more: Any) -> list[tasks.Task]:
        calls.append(more)
        if len(calls) > 1:
            raise RuntimeError("the second portion cannot be read")
        return page(*args, **more)

    monkeypatch.setattr(tasks, "page", failing)
    with pytest.raises(httpx.RemoteProtocolError):
        httpx.get(f"http://127.0.0.1:{port}/tasks/", headers=BEARER, trust_env=False)
