"""Answers that do not end are read as they come, known to be whole or broken off, and fill two files without a gap."""

from __future__ import annotations

import asyncio
import errno
import os
import struct
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scitq.agents import container_logs
from scitq.agents.container_logs import Frames, Log
from scitq.agents.engine_stream import NotThere, Unchunk, events, pieces
from scitq.errors import EngineUnavailable

CUTS = st.lists(st.integers(1, 40), min_size=1)
LINES = st.lists(st.tuples(st.sampled_from([1, 2]), st.binary(max_size=50)))


def cut(data: bytes, sizes: list[int]) -> list[bytes]:
    """The data as a network might bring it."""
    found, at, number = [], 0, 0
    while at < len(data):
        size = sizes[number % len(sizes)]
        found.append(data[at : at + size])
        at, number = at + size, number + 1
    return found


def frame(stream: int, content: bytes) -> bytes:
    return struct.pack(">BxxxL", stream, len(content)) + content


def chunk(content: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(content), content)


@given(st.lists(st.binary(min_size=1, max_size=300)), CUTS)
def test_chunks_become_the_content_wherever_they_are_cut(contents: list[bytes], sizes: list[int]) -> None:
    unchunk = Unchunk()
    found = [unchunk.feed(piece) for piece in cut(b"".join(map(chunk, contents)), sizes)]
    assert b"".join(found) == b"".join(contents) and not unchunk.over
    assert unchunk.feed(chunk(b"")) == b"" and unchunk.over


@given(LINES, CUTS)
def test_frames_become_two_streams_wherever_they_are_cut(lines: list[tuple[int, bytes]], sizes: list[int]) -> None:
    frames, found = Frames(), {1: b"", 2: b""}
    for piece in cut(b"".join(frame(*line) for line in lines), sizes):
        for stream, parts in frames.feed(piece).items():
            found[stream] += b"".join(parts)
    assert found == {each: b"".join(content for stream, content in lines if stream == each) for each in (1, 2)}


def test_what_is_no_frame_and_no_chunk_is_not_taken_for_one() -> None:
    with pytest.raises(ValueError, match="stream 7"):
        Frames().feed(frame(7, b"x"))
    for nonsense in (b"zz\r\n", b"-5\r\nhello", b"fffffffff\r\n"):
        with pytest.raises(ValueError):
            Unchunk().feed(nonsense)


# An engine that says what the test wants ------------------------------------------------------------------------------


def served(tmp_path: Path, answers: list[bytes], scenario: Callable[[str], Awaitable[None]]) -> list[bytes]:
    """What was asked, one answer to each, while the scenario runs."""
    asked: list[bytes] = []
    turns = iter(answers)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(next(turns))
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    async def main() -> None:
        async with await asyncio.start_unix_server(serve, tmp_path / "socket"):
            await scenario(str(tmp_path / "socket"))

    asyncio.run(main())
    return asked


OK = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def log_of(*lines: tuple[int, bytes], whole: bool = True) -> bytes:
    return OK + b"".join(chunk(frame(*line)) for line in lines) + (chunk(b"") if whole else b"")


def test_a_log_that_broke_off_goes_on_where_it_was(tmp_path: Path) -> None:
    lines = [(1, b"one\n"), (2, b"oops\n"), (1, b"two\n"), (1, b"three\n")]
    answers = [log_of(*lines[:2], whole=False), log_of(*lines[:3], whole=False), log_of(*lines)]

    async def scenario(socket: str) -> None:
        for whole in (False, False, True):
            try:
                await Log(tmp_path / "5").read(socket, "/v1.41", "abc", follow=not whole)
            except EngineUnavailable:
                assert not whole

    asked = served(tmp_path, answers, scenario)
    assert asked[0].startswith(b"GET /v1.41/containers/abc/logs?stdout=1&stderr=1&follow=1 HTTP/1.1\r\n")
    assert b"follow=0" in asked[2]
    assert (tmp_path / "5.out").read_bytes() == b"one\ntwo\nthree\n"
    assert (tmp_path / "5.err").read_bytes() == b"oops\n"
    assert Log(tmp_path / "5").sizes == (14, 5)


def test_more_than_is_kept_is_not_even_asked_for(tmp_path: Path) -> None:
    async def scenario(socket: str) -> None:
        log = Log(tmp_path / "5", most_bytes=6)
        await log.read(socket, "/v1.41", "abc", follow=True)
        assert log.is_full()
        await log.read(socket, "/v1.41", "abc", follow=True)

    asked = served(tmp_path, [log_of((1, b"12345678"), (1, b"9"))], scenario)
    assert len(asked) == 1


def test_a_full_disk_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    real, tries = os.open, []

    def full(*words: object, **more: object) -> None:
        tries.append(words)
        if len(tries) < 4:
            raise OSError(errno.ENOSPC, "No space left on device")
        monkeypatch.undo()

    def opened(path: str, mode: str, buffering: int) -> object:
        full(path)
        return open(path, mode, buffering=buffering)

    assert real is os.open
    monkeypatch.setattr(container_logs, "AGAIN_S", 0.001)
    monkeypatch.setattr(container_logs, "open", opened, raising=False)

    async def scenario(socket: str) -> None:
        await Log(tmp_path / "5").read(socket, "/v1.41", "abc", follow=True)

    served(tmp_path, [log_of((1, b"kept"))], scenario)
    assert (tmp_path / "5.out").read_bytes() == b"kept"
    assert caplog.text.count("cannot be kept") == 1


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        (b"HTTP/1.1 404 Not Found\r\n\r\n", NotThere, "/x"),
        (b"HTTP/1.1 500 Internal Server Error\r\n\r\n", EngineUnavailable, "answered 500"),
        (b"", EngineUnavailable, "broke off"),
        (b"nonsense\r\n\r\n", EngineUnavailable, "broke off"),
        (OK + b"5\r\nhel", EngineUnavailable, "broke off"),
        (OK + b"zz\r\n", EngineUnavailable, "broke off"),
    ],
)
def test_an_answer_that_is_none_is_told_in_words(
    tmp_path: Path, answer: bytes, error: type[Exception], words: str
) -> None:
    async def scenario(socket: str) -> None:
        with pytest.raises(error, match=words):
            async for _ in pieces(socket, "/x"):
                pass
        with pytest.raises(EngineUnavailable, match="does not answer"):
            async for _ in pieces(f"{socket}.none", "/x"):
                pass

    served(tmp_path, [answer], scenario)


def test_events_are_told_one_by_one_after_a_word_that_we_listen(tmp_path: Path) -> None:
    said = b'{"Action":"die","Actor":{"Attributes":{"scitq.execution":"5"}}}\n{"status":"oom"}\n'
    heard: list[tuple[str, dict[str, str]]] = []

    async def scenario(socket: str) -> None:
        async for event in events(socket, "/v1.41", "scitq.owner=x"):
            heard.append(event)

    (asked,) = served(tmp_path, [OK + chunk(said[:30]) + chunk(said[30:]) + chunk(b"")], scenario)
    assert heard == [("", {}), ("die", {"scitq.execution": "5"}), ("oom", {})]
    assert b"scitq.owner%3Dx" in asked
