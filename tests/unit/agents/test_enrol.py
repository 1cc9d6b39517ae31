"""An invitation becomes a credential, and the credential is kept from others."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from scitq.agents.enrol import NAME, enrol, kept
from scitq.errors import AgentError

CREDENTIAL = "worker.one.a-signature-of-it"


class Server(HTTPServer):
    answer: tuple[int, bytes] = (201, b'{"credential": "%b", "name": "one"}' % CREDENTIAL.encode())
    asked: list[tuple[str, str | None, bytes]]


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        assert isinstance(self.server, Server)
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked.append((self.path, self.headers["Authorization"], body))
        status, content = self.server.answer
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        return


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(("127.0.0.1", 0), Handler) as made:
        made.asked = []
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield made
        made.shutdown()
        thread.join()


def url(server: Server) -> str:
    return f"http://127.0.0.1:{server.server_port}/"


def test_an_invitation_is_exchanged_and_the_credential_kept(server: Server, tmp_path: Path) -> None:
    assert kept(tmp_path / "agent") is None
    found = enrol(url(server), "an-invitation", "one", tmp_path / "agent")
    assert found.reveal() == CREDENTIAL and kept(tmp_path / "agent") == found
    assert server.asked == [("/workers/enrol", "Bearer an-invitation", b'{"name":"one"}')]
    path = tmp_path / "agent" / NAME
    assert path.stat().st_mode & 0o777 == 0o600 and [each.name for each in path.parent.iterdir()] == [NAME]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((401, b'{"message": "it has expired"}'), "does not accept the invitation: it has expired; ask for a new one"),
        ((503, b"busy"), "answered 503 and gave no credential"),
        ((201, b"[]"), "gave no credential"),
        ((201, b'{"credential": "short"}'), "gave no credential"),
        ((200, b'{"credential": "worker.one.a-signature-of-it"}'), "gave no credential"),
    ],
)
def test_a_refusal_is_said_in_words(server: Server, tmp_path: Path, answer: tuple[int, bytes], words: str) -> None:
    server.answer = answer
    with pytest.raises(AgentError, match=words):
        enrol(url(server), "an-invitation", "one", tmp_path)
    assert kept(tmp_path) is None


def test_a_server_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(AgentError, match="cannot be asked for a credential"):
        enrol("http://127.0.0.1:1", "an-invitation", "one", tmp_path)


def test_a_credential_that_others_could_read_or_that_is_none_is_not_used(server: Server, tmp_path: Path) -> None:
    enrol(url(server), "an-invitation", "one", tmp_path)
    path = tmp_path / NAME
    path.chmod(0o640)
    with pytest.raises(AgentError, match="others could read it"):
        kept(tmp_path)
    path.chmod(0o600)
    path.write_text("no credential")
    with pytest.raises(AgentError, match="holds no credential"):
        kept(tmp_path)
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(AgentError, match="cannot be read"):
        kept(tmp_path)
