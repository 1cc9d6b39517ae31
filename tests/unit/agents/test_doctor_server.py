"""What `scitq worker doctor` says of a server: a real one, and those that are none, hang, or know another time."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import orjson
import pytest

from scitq import __version__
from scitq.agents import doctor_server
from scitq.agents.doctor import Finding
from scitq.config.values import ServerAddress, Token
from scitq.credentials import Credentials
from tests.services.certificates import certify
from tests.services.processes import free_ports
from tests.unit.web.whole import TOKEN, whole

HERE = "127.0.0.1"


def states(found: Sequence[Finding]) -> list[str]:
    return [one.state for one in found]


def looked(port: int, token: str = TOKEN, *, named: bool = True, scheme: str = "http") -> list[Finding]:
    return list(doctor_server.server(ServerAddress(HERE, port, scheme), lambda: token, named))


@contextmanager
def answering(health: Any, context: ssl.SSLContext | None = None, headers: Mapping[str, str] = {}) -> Iterator[int]:
    """Somebody who answers everything alike."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = health if isinstance(health, bytes) else orjson.dumps(health)
            self.send_response_only(200)
            for name, value in {"Content-Length": str(len(content)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            return

    with ThreadingHTTPServer((HERE, 0), Handler) as server:
        if context is not None:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


def test_a_real_server_with_the_right_token_and_the_wrong_ones(tmp_path: Path) -> None:
    with whole(tmp_path) as server, server.listening() as port:
        found = looked(port)
        assert states(found) == ["good", "good", "good"]
        assert found[0].text == f"http://{HERE}:{port} answers: scitq 0-test; this is {__version__}"
        assert found[1].text == "it takes this worker's token or credential"
        assert found[2].text.startswith("the clocks agree within 0.")
        assert states(looked(port, Credentials(Token(TOKEN)).for_worker("node1"))) == ["good"] * 3
        for wrong in ("", "another-token-than-the-server-has", Credentials(Token("x" * 16)).for_worker("node1")):
            refused = looked(port, wrong)[1]
            assert (refused.state, refused.needed) == ("broken", True)
            assert "set SCITQ_TOKEN to the server's token, or enrol the worker anew" in refused.text
        assert server.get("/workers").json() == [], "nobody was welcomed as a worker"


def test_a_server_that_admits_everybody(tmp_path: Path) -> None:
    with whole(tmp_path, auth="none") as server, server.listening() as port:
        assert looked(port, "")[1].text == "it admits workers without a token"


def test_nobody_listens() -> None:
    (port,) = free_ports(1)
    (found,) = looked(port)
    assert (found.state, found.needed) == ("broken", True)
    assert found.text.endswith("is that its address, and does it listen to other machines?")
    (found,) = looked(port, named=False)
    assert (found.state, found.needed) == ("absent", False)
    assert found.text.endswith("scitq worker doctor HOST[:PORT] looks at one")


def test_who_takes_the_connection_and_says_nothing_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor_server, "ANSWER_S", 0.2)
    with socket.create_server((HERE, 0)) as silent:
        (found,) = looked(silent.getsockname()[1])
    assert found.needed and "does not answer within 0.2 s: is that its address" in found.text


@pytest.mark.parametrize("health", [b"<html>", b"[1]", {"status": "fine"}])
def test_another_program_is_no_server(health: Any) -> None:
    with answering(health) as port:
        (found,) = looked(port)
    assert found.needed and found.text == f"who listens at http://{HERE}:{port} is no scitq server (it answered 200)"


@pytest.mark.parametrize(
    ("by_s", "state", "words"),
    [
        (-3_600, "broken", "this clock is 3,600 s ahead of the server's"),
        (3_600, "broken", "this clock is 3,600 s behind the server's"),
        (2, "good", "the clocks agree within 2."),
    ],
)
def test_clocks_that_do_not_agree(by_s: float, state: str, words: str) -> None:
    with answering({"status": "ok", "version": "1", "time": time.time() + by_s}) as port:
        gateway, clock = looked(port)[1:]
    assert gateway.needed and gateway.state == "broken", "that has no gateway"
    assert (clock.state, clock.needed) == (state, False) and words in clock.text


def test_a_server_of_before_is_asked_for_the_date() -> None:
    health = {"status": "ok", "version": "0"}
    with answering(health, headers={"Date": "Thu, 01 Jan 1970 00:00:00 GMT"}) as port:
        assert "ahead of the server's" in looked(port)[-1].text
    no_dates: tuple[dict[str, str], ...] = ({}, {"Date": "yesterday"})
    for date in no_dates:
        with answering(health, headers=date) as port:
            assert looked(port)[-1].text == "the server does not tell its time: whether the clocks agree is not known"


def test_a_certificate_of_nobody_we_trust_and_of_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certify(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.pem", tmp_path / "server.key")
    with answering({"status": "ok"}, context) as port:
        (found,) = looked(port, scheme="https")
        assert found.needed and "is not accepted" in found.text and "SSL_CERT_FILE" in found.text
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
        assert looked(port, scheme="https")[1].text == "its certificate is accepted"


def test_who_is_asked_in_the_wrong_way_is_told_so() -> None:
    with answering({"status": "ok"}) as port:
        (found,) = looked(port, scheme="https")
    assert found.needed and "cannot be reached (" in found.text
