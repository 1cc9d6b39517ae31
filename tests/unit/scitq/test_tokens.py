"""The token of a server: who may read it, who finds it, and that it is never shown."""

from __future__ import annotations

import logging
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scitq import tokens
from scitq.config import load
from scitq.config.values import TOKEN, Token
from scitq.errors import Rejected

ROOT = Path(__file__).parents[3]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "a" / "b" / "data"


@pytest.fixture
def user(tmp_path: Path) -> dict[str, str]:
    return {"HOME": str(tmp_path)}


@pytest.fixture(params=[0o000, 0o022, 0o077, 0o777], ids="umask {:03o}".format)
def umask(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[None]:
    """From here on: the test's own folder is there already."""
    before = os.umask(request.param)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def refusal(folder: Path) -> str:
    with pytest.raises(Rejected) as caught:
        tokens.server_token(folder)
    assert str(caught.value).isprintable()
    return str(caught.value)


@pytest.mark.usefixtures("umask")
def test_a_token_is_made_once_for_its_user_alone(data: Path) -> None:
    made = tokens.server_token(data)
    assert tokens.server_token(data) == made and made.reveal() in (data / "token").read_text()
    assert mode(data / "token") == 0o600 and {mode(data), mode(data.parent), mode(data.parent.parent)} == {0o700}
    assert os.listdir(data) == ["token"]


def test_a_token_holds_256_bits_that_may_stand_in_an_address(data: Path) -> None:
    text = tokens.server_token(data).reveal()
    assert len(text) == 43 and TOKEN.fullmatch(text) and "/" not in text and "+" not in text
    assert load(environ={"SCITQ_SERVER": f"x:{text}@h", "SCITQ_DATA": "/d"}, files=[]).server.token == Token(text)


@pytest.mark.parametrize("wrong", [0o701, 0o710, 0o755, 0o740, 0o777])
def test_a_folder_that_others_may_enter_is_refused_with_what_to_do(data: Path, wrong: int) -> None:
    data.mkdir(parents=True)
    data.chmod(wrong)
    assert f"chmod 700 {data}" in refusal(data) and not os.listdir(data)


@pytest.mark.parametrize("wrong", [0o604, 0o640, 0o666])
def test_a_token_that_others_may_read_is_refused_with_what_to_do(data: Path, wrong: int) -> None:
    tokens.server_token(data)
    (data / "token").chmod(wrong)
    assert f"chmod 600 {data / 'token'}" in refusal(data)


def test_a_folder_of_somebody_else_is_refused(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tokens.server_token(data)
    monkeypatch.setattr("os.geteuid", lambda: 4_242)
    assert "belongs to another user" in refusal(data)


def test_what_is_no_folder_or_cannot_be_one_is_refused(data: Path) -> None:
    data.parent.mkdir(parents=True)
    data.write_text("")
    (data.parent / "dangling").symlink_to("nowhere")
    for path in (data, data / "below", Path("/dev/null/x"), data.parent / "dangling", data.parent / ("x" * 300)):
        assert "cannot be used" in refusal(path)


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"short\n", b"\xff" * 40, b"\0" * 40, b"x" * 100_000, b"two words " * 4]
)
def test_a_file_without_a_token_is_refused_and_not_shown(data: Path, content: bytes) -> None:
    tokens.server_token(data)
    (data / "token").write_bytes(content)
    assert "holds no token: remove it" in refusal(data)


def test_a_token_that_is_a_link_a_pipe_or_a_folder_is_refused(data: Path) -> None:
    tokens.server_token(data)
    token = data / "token"
    token.rename(data / "elsewhere")
    token.symlink_to("elsewhere")
    assert "cannot be read" in refusal(data)
    token.unlink()
    os.mkfifo(token, 0o600)
    assert "not a regular file" in refusal(data)
    token.unlink()
    token.mkdir(0o700)
    assert "cannot be read" in refusal(data)


def test_a_disk_that_is_full_leaves_no_token_and_no_rest(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    assert "No space left" in refusal(data) and not os.listdir(data)


def test_first_starts_at_once_in_one_process_agree(tmp_path: Path) -> None:
    count = 16
    for number in range(20):
        together = Barrier(count)

        def start(_: int, number: int = number, together: Barrier = together) -> str:
            together.wait()
            return tokens.server_token(tmp_path / str(number)).reveal()

        with ThreadPoolExecutor(count) as pool:
            assert len(set(pool.map(start, range(count)))) == 1
        assert os.listdir(tmp_path / str(number)) == ["token"]


def test_first_starts_at_once_in_many_processes_agree(data: Path) -> None:
    program = "import sys, pathlib; from scitq import tokens; print(flush=True); sys.stdin.readline(); "
    program += "print(tokens.server_token(pathlib.Path(sys.argv[1])).reveal())"
    command = [sys.executable, "-c", program, str(data)]
    starts = [
        subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(6)
    ]
    for one in starts:  # all are at the door
        assert one.stdout and one.stdout.readline() == "\n"
    for one in starts:
        assert one.stdin
        one.stdin.write("\n")
        one.stdin.flush()
    said = {one.communicate(timeout=30)[0] for one in starts}
    assert len(said) == 1 and said == {(data / "token").read_text()} and os.listdir(data) == ["token"]


@pytest.mark.usefixtures("umask")
def test_a_local_client_finds_the_token_by_itself(data: Path, user: dict[str, str]) -> None:
    token = tokens.server_token(data)
    tokens.publish(token, "127.0.0.1", 5001, user)
    settings = load(environ=user | {"SCITQ_SERVER": "127.0.0.1:5001"}, files=[])
    assert tokens.client_token(settings, user) == token
    folder = Path(user["HOME"], ".config", "scitq", "tokens")
    assert mode(folder) == 0o700 and mode(folder / "127.0.0.1:5001") == 0o600 and len(os.listdir(folder)) == 1
    assert tokens.find("127.0.0.1", 5002, user) is None and tokens.find("10.0.0.1", 5001, user) is None


@pytest.mark.parametrize(
    ("listens", "asked", "found"),
    [
        ("0.0.0.0", "127.0.0.1", True), ("0.0.0.0", "localhost", True), ("::", "[::1]", True),
        ("::", "127.0.0.1", True), ("127.0.0.1", "localhost", True), ("localhost", "::1", True),
        ("::1", "0:0::1", True), ("Name", "name", True),
        ("127.0.0.1", "::1", False), ("10.0.0.1", "127.0.0.1", False),
    ],
)  # fmt: skip
def test_a_token_is_found_under_each_name_of_its_server(
    listens: str, asked: str, found: bool, user: dict[str, str]
) -> None:
    tokens.publish(Token("t" * 43), listens, 5000, user)
    assert (tokens.find(asked, 5000, user) is not None) == found


def test_the_token_in_the_address_goes_before_the_set_one_before_the_local_one(user: dict[str, str]) -> None:
    local, own, inside = (Token(letter * 20) for letter in "loi")
    tokens.publish(local, "127.0.0.1", 5000, user)
    for environ, expected in [
        ({}, local),
        ({"SCITQ_TOKEN": own.reveal()}, own),
        ({"SCITQ_TOKEN": own.reveal(), "SCITQ_SERVER": f"x:{inside.reveal()}@127.0.0.1"}, inside),
    ]:
        assert tokens.client_token(load(environ=user | environ, files=[]), user) == expected


def test_a_server_that_stops_takes_back_its_own_token_only(user: dict[str, str]) -> None:
    first, second = Token("1" * 20), Token("2" * 20)
    tokens.withdraw(first, "127.0.0.1", 5000, user)
    tokens.publish(first, "127.0.0.1", 5000, user)
    tokens.publish(second, "127.0.0.1", 5000, user)
    tokens.withdraw(first, "127.0.0.1", 5000, user)
    assert tokens.find("127.0.0.1", 5000, user) == second
    tokens.withdraw(second, "127.0.0.1", 5000, user)
    assert tokens.find("127.0.0.1", 5000, user) is None


def test_a_published_token_that_others_may_read_is_refused(user: dict[str, str]) -> None:
    tokens.publish(Token("t" * 43), "127.0.0.1", 5000, user)
    folder = Path(user["HOME"], ".config", "scitq", "tokens")
    folder.chmod(0o755)
    with pytest.raises(Rejected, match="chmod 700"):
        tokens.find("127.0.0.1", 5000, user)
    assert tokens.find("somewhere.else", 5000, user) is None


@pytest.mark.parametrize("host", ["", "../x", "a/b", "a\0b", "a\nb", "fe80::1%/x"])
def test_no_host_leads_out_of_the_folder(host: str, user: dict[str, str]) -> None:
    with pytest.raises(Rejected, match="not the name of a host"):
        tokens.publish(Token("t" * 43), host, 5000, user)
    with pytest.raises(Rejected, match="not the name of a host"):
        tokens.find(host, 5000, user)


def test_without_a_home_nothing_is_found_and_publishing_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(_: int) -> None:
        raise KeyError

    monkeypatch.setattr("pwd.getpwuid", unknown)
    assert tokens.find("127.0.0.1", 5000, {}) is None
    tokens.withdraw(Token("t" * 43), "127.0.0.1", 5000, {})
    with pytest.raises(Rejected, match="give it as SCITQ_TOKEN"):
        tokens.publish(Token("t" * 43), "127.0.0.1", 5000, {})


@given(st.text(st.characters()))
def test_only_the_token_itself_matches(candidate: str) -> None:
    token = Token("t" * 43)
    assert token.matches("t" * 43) and not token.matches(candidate) and token != candidate


def test_a_token_is_never_shown(data: Path, caplog: pytest.LogCaptureFixture) -> None:
    token = tokens.server_token(data)
    logging.getLogger("test").error("%s %r", token, [token], extra={"token": token})
    shown = f"{token} {token!r} {[token]} {caplog.text}"
    assert token.reveal() not in shown and "***" in shown
    with pytest.raises(ValueError, match="16 characters") as caught:
        Token(f"{token.reveal()} with a space")
    assert token.reveal() not in str(caught.value)
