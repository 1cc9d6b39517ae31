"""Output over HTTP: exactly the bytes that were printed, in part or whole, while they come or afterwards."""

import threading
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import httpx
import orjson
import psutil
import pytest

from scitq.store.tally import CHUNK_BYTES
from scitq.web import outputs, streaming
from tests.services.waiting import eventually
from tests.unit.web.site import Site, running

TEXT = "".join(f"line {at}: é € 😀\n" for at in range(1_000))
BYTES = TEXT.encode()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with running(tmp_path_factory.mktemp("site")) as site:
        yield site


ids = count(1)


@pytest.fixture
def printed(site: Site) -> int:
    """An execution that runs and has printed BYTES, and `oh` as error."""
    execution = site.execution(next(ids))
    site.print(execution, BYTES)
    site.print(execution, b"oh\n", stream=2)
    return execution


def get(site: Site, path: str, **headers: str) -> httpx.Response:
    with site.client() as client:
        return client.get(path, headers=headers)


# As bytes --------------------------------------------------------------------------------------------------------


def test_each_stream_is_sent_as_it_was_printed_and_is_never_taken_for_a_page(site: Site, printed: int) -> None:
    answer = get(site, f"/executions/{printed}/stdout")
    assert (answer.status_code, answer.content) == (200, BYTES)
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-disposition"] == "inline"
    assert answer.headers["content-length"] == str(len(BYTES))
    assert get(site, f"/executions/{printed}/stderr").content == b"oh\n"


def test_bytes_that_are_no_text_come_as_they_are(site: Site) -> None:
    execution = site.execution(next(ids))
    site.print(execution, bytes(range(256)) * 700)
    assert get(site, f"/executions/{execution}/stdout").content == bytes(range(256)) * 700


def test_an_execution_that_has_printed_nothing_has_an_empty_output(site: Site) -> None:
    execution = site.execution(next(ids))
    answer = get(site, f"/executions/{execution}/stdout")
    assert (answer.status_code, answer.content) == (200, b"")


@pytest.mark.parametrize("kind", ["stdout", "stderr", "output"])
@pytest.mark.parametrize("id", [999_999, 2**48, "x", 0, -1])
def test_an_execution_that_there_is_not_has_no_output(site: Site, kind: str, id: object) -> None:
    answer = get(site, f"/executions/{id}/{kind}")
    assert answer.status_code == 404
    assert answer.json()["message"]


LENGTH = len(BYTES)
RANGES: dict[str, tuple[int, slice]] = {
    "bytes=0-0": (206, slice(0, 1)),
    "bytes=0-9": (206, slice(0, 10)),
    "bytes=5-": (206, slice(5, None)),
    f"bytes={LENGTH - 1}-": (206, slice(LENGTH - 1, None)),
    "bytes=-1": (206, slice(LENGTH - 1, None)),
    f"bytes=-{LENGTH}": (206, slice(0, None)),
    f"bytes=-{LENGTH + 5}": (206, slice(0, None)),
    f"bytes=7-{LENGTH + 100}": (206, slice(7, None)),
    "bytes=0-999999999999999999": (206, slice(0, None)),
    "bytes = 1 - 2": (206, slice(1, 3)),
    f"bytes={LENGTH}-": (416, slice(0)),
    "bytes=999999999999999999-": (416, slice(0)),
    "bytes=-0": (416, slice(0)),
    "bytes=2-1": (200, slice(None)),
    "bytes=-": (200, slice(None)),
    "bytes=": (200, slice(None)),
    "bytes=0-1,4-5": (200, slice(None)),
    "bytes=1" + "0" * 30 + "-": (200, slice(None)),
    "bytes=٣-٤".encode().decode("latin-1"): (200, slice(None)),
    "lines=0-1": (200, slice(None)),
    "bytes=a-b": (200, slice(None)),
}


@pytest.mark.parametrize("header", RANGES)
def test_a_range_gives_that_part_and_one_that_says_nothing_the_whole(site: Site, printed: int, header: str) -> None:
    status, part = RANGES[header]
    with site.client() as client:
        answer = client.get(f"/executions/{printed}/stdout", headers={b"Range": header.encode("latin-1")})
    assert answer.status_code == status
    if status == 416:
        assert answer.headers["content-range"] == f"bytes */{LENGTH}"
        assert answer.json()["message"]
        return
    assert answer.content == BYTES[part]
    if status == 206:
        start, end, _ = part.indices(LENGTH)
        assert answer.headers["content-range"] == f"bytes {start}-{end - 1}/{LENGTH}"


def test_no_range_of_an_empty_output_can_be_had(site: Site) -> None:
    execution = site.execution(next(ids))
    for header in ("bytes=0-", "bytes=-5"):
        assert get(site, f"/executions/{execution}/stdout", range=header).status_code == 416


def test_a_range_under_a_condition_that_we_never_set_gives_the_whole(site: Site, printed: int) -> None:
    answer = get(site, f"/executions/{printed}/stdout", range="bytes=0-3", **{"If-Range": '"abc"'})
    assert (answer.status_code, answer.content) == (200, BYTES)


@pytest.mark.parametrize(
    ("query", "part"),
    [
        ("tail=0", slice(LENGTH, None)),
        ("tail=10", slice(LENGTH - 10, None)),
        (f"tail={LENGTH + 1}", slice(None)),
        ("offset=10", slice(10, None)),
        (f"offset={LENGTH + 10}", slice(LENGTH, None)),
    ],
)
def test_the_end_can_be_had_alone(site: Site, printed: int, query: str, part: slice) -> None:
    answer = get(site, f"/executions/{printed}/stdout?{query}")
    assert (answer.status_code, answer.content) == (200, BYTES[part])


LINES = b"one\n\ntwo two\n" + b"x" * 100 + b"\nlast"


@pytest.mark.parametrize("ends", [b"", b"\n"])
@pytest.mark.parametrize("piece", [3, 7, outputs.PIECE_BYTES])
def test_the_last_lines_can_be_had_alone(site: Site, piece: int, ends: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outputs, "PIECE_BYTES", piece)
    execution = site.execution(next(ids))
    site.ended(execution, site.print(execution, LINES + ends))
    site.shown()
    whole = (LINES + ends).splitlines(keepends=True)
    for lines in range(8):
        answer = get(site, f"/executions/{execution}/stdout?lines={lines}")
        assert answer.content == b"".join(whole[max(5 - lines, 0) :])
        assert int(answer.headers["X-Scitq-Offset"]) == len(LINES + ends) - len(answer.content)


def test_a_line_without_an_end_is_not_looked_through_for_ever(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outputs, "MOST_LINE_BYTES", 10)
    execution = site.execution(next(ids))
    site.ended(execution, site.print(execution, LINES))
    site.shown()
    assert get(site, f"/executions/{execution}/stdout?lines=2").content == LINES[-10:]


@pytest.mark.parametrize("query", ["tail=-1", "lines=-1", "tail=x", "tail=1.5", "follow=maybe", "offset=-1", "head=1"])
def test_what_makes_no_sense_is_refused_in_words(site: Site, printed: int, query: str) -> None:
    answer = get(site, f"/executions/{printed}/stdout?{query}")
    assert answer.status_code == 400
    assert answer.json()["message"]


# As text by characters -------------------------------------------------------------------------------------------


def test_old_clients_read_both_by_characters(site: Site, printed: int) -> None:
    assert get(site, f"/executions/{printed}/output").json() == {"output": TEXT, "error": "oh\n"}
    answer = get(site, f"/executions/{printed}/output?output_position=9&error_position=2&error=true").json()
    assert answer == {"output": TEXT[8:], "error": "h\n"}


def test_old_clients_wrap_what_they_ask_into_the_body(site: Site, printed: int) -> None:
    body = orjson.dumps({"data": {"output": True, "error": False, "output_position": len(TEXT)}})
    with site.client() as client:
        headers = {"Content-Type": "application/json"}
        answer = client.request("GET", f"/executions/{printed}/output", content=body, headers=headers)
    assert answer.json() == {"output": TEXT[-1], "error": None}


@pytest.mark.parametrize("position", [len(TEXT) + 1, len(TEXT) + 100, 2**60])
def test_behind_the_last_character_there_is_nothing_yet(site: Site, printed: int, position: int) -> None:
    assert get(site, f"/executions/{printed}/output?output_position={position}&error=false").json()["output"] == ""


def test_a_client_that_asks_again_and_again_gets_each_character_once_however_they_were_cut(site: Site) -> None:
    execution, got = site.execution(next(ids)), ""
    with site.client() as client:
        for byte in range(0, 300, 2):
            site.print(execution, BYTES[byte : byte + 2])
            got += client.get(f"/executions/{execution}/output?output_position={len(got) + 1}").json()["output"]
    assert got == BYTES[:300].decode(errors="ignore")
    assert len(got) > 150


def test_a_character_that_never_ends_is_replaced_once_the_execution_has_ended(site: Site) -> None:
    execution = site.execution(next(ids))
    site.print(execution, b"ab\xe2\x82")
    assert get(site, f"/executions/{execution}/output").json()["output"] == "ab"
    site.ended(execution, 4)
    site.shown()
    assert get(site, f"/executions/{execution}/output").json()["output"] == "ab\N{REPLACEMENT CHARACTER}"


def test_a_text_of_many_pieces_is_one_piece_of_json(site: Site, monkeypatch: pytest.MonkeyPatch, printed: int) -> None:
    monkeypatch.setattr(outputs, "PIECE_CHARS", 7)
    assert get(site, f"/executions/{printed}/output").json() == {"output": TEXT, "error": "oh\n"}


def run_inline(site: Site, execution: int, chars: int | None) -> str:
    """As the routes of executions do, in a thread that may read the stores."""
    found: list[str] = []

    def read() -> None:
        found.append(outputs.inline(site.services, [execution], chars).get((execution, 1), ""))
        site.services.output().close()

    thread = threading.Thread(target=read)
    thread.start()
    thread.join()
    return found[0]


@pytest.mark.parametrize(("chars", "text"), [(None, TEXT), (0, ""), (1, "\n"), (5, TEXT[-5:]), (10**15, TEXT)])
def test_a_list_shows_the_last_characters(site: Site, printed: int, chars: int | None, text: str) -> None:
    assert run_inline(site, printed, chars) == text


def test_a_list_shows_the_last_megabyte_from_a_whole_character_on(site: Site) -> None:
    execution = site.execution(next(ids))
    site.print(execution, "€".encode() * 400_000 + b"\n")
    text = run_inline(site, execution, None)
    assert set(text) == {"€", "\n"}
    assert 1024 * 1024 - 4 <= len(text.encode()) <= 1024 * 1024


# Live ------------------------------------------------------------------------------------------------------------


class Follower:
    """Reads in a thread. `got` is what has come, `ended` whether the answer was whole."""

    def __init__(self, site: Site, path: str) -> None:
        self.got, self.ended, self.begun = b"", False, False
        self._site, self._path = site, path
        self._thread = threading.Thread(target=self._read)
        self._thread.start()
        eventually(lambda: self.begun)

    def _read(self) -> None:
        with self._site.client() as client, client.stream("GET", self._path) as answer:
            assert answer.status_code == 200
            self.begun = True
            for piece in answer.iter_raw():
                self.got += piece
            self.ended = True

    def has(self, wanted: bytes) -> bytes:
        return eventually(lambda: wanted if self.got == wanted else None)

    def join(self) -> bytes:
        self._thread.join(20)
        assert self.ended
        return self.got


def test_output_is_followed_while_it_grows_until_the_execution_has_ended(site: Site) -> None:
    execution = site.execution(next(ids))
    site.print(execution, b"begin ")
    follower = Follower(site, f"/executions/{execution}/stdout?follow=true")
    follower.has(b"begin ")
    for byte in "é€😀".encode():  # characters cut between chunks
        site.print(execution, bytes([byte]))
        follower.has(follower.got if follower.got.endswith(bytes([byte])) else follower.got + bytes([byte]))
    total = site.print(execution, b" end")
    site.ended(execution, total)
    assert follower.join() == "begin é€😀 end".encode()


def test_chunks_that_the_end_has_overtaken_are_waited_for(site: Site) -> None:
    execution = site.execution(next(ids))
    follower = Follower(site, f"/executions/{execution}/stdout?follow=true")
    site.ended(execution, 10)
    site.shown()
    site.print(execution, b"01234")
    follower.has(b"01234")
    assert not follower.ended
    site.print(execution, b"56789")
    assert follower.join() == b"0123456789"


def test_chunks_that_never_come_are_not_waited_for_for_ever(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outputs, "LATE_S", 0.2)
    execution = site.execution(next(ids))
    site.print(execution, b"01234")
    site.ended(execution, 10)
    site.shown()
    assert Follower(site, f"/executions/{execution}/stdout?follow=true").join() == b"01234"


def test_an_output_that_was_finished_long_ago_is_followed_to_its_end_at_once(site: Site) -> None:
    execution = site.execution(next(ids))
    site.ended(execution, site.print(execution, BYTES))
    site.shown()
    assert Follower(site, f"/executions/{execution}/stdout?follow=true").join() == BYTES


@pytest.mark.parametrize(("query", "begin"), [("tail=3", b"nd\n"), ("lines=1", b"second\n"), ("offset=2", b"cond\n")])
def test_following_may_begin_in_the_middle(site: Site, query: str, begin: bytes) -> None:
    execution = site.execution(next(ids))
    site.print(execution, b"second\n")
    follower = Follower(site, f"/executions/{execution}/stdout?follow=true&{query}")
    follower.has(begin)
    site.ended(execution, site.print(execution, b"third\n"))
    assert follower.join() == begin + b"third\n"


def test_following_may_go_on_behind_what_has_not_come_yet(site: Site) -> None:
    execution = site.execution(next(ids))
    follower = Follower(site, f"/executions/{execution}/stdout?follow=true&offset=3")
    site.print(execution, b"012")
    site.ended(execution, site.print(execution, b"345"))
    assert follower.join() == b"345"


def test_a_follower_that_has_gone_is_forgotten(site: Site) -> None:
    execution = site.execution(next(ids))
    with site.client() as client, client.stream("GET", f"/executions/{execution}/stdout?follow=true"):
        watch = site.services.part(outputs.OutputWatch)
        eventually(lambda: execution in watch.bells)
    eventually(lambda: execution not in watch.bells)


def test_a_notice_that_was_lost_costs_time_only(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outputs, "LOOK_EVERY_S", 0.1)
    execution = site.execution(next(ids))
    follower = Follower(site, f"/executions/{execution}/stdout?follow=true")
    with monkeypatch.context() as silence:
        silence.setattr(site.bus, "publish", lambda *_: None)
        total = site.print(execution, b"unheard")
        follower.has(b"unheard")
    site.ended(execution, total)
    follower.join()


def test_a_server_that_stops_ends_what_is_followed(tmp_path: Path) -> None:
    with running(tmp_path) as site:
        execution = site.execution(1)
        follower = Follower(site, f"/executions/{execution}/stdout?follow=true")
    follower.join()


# Clients and outputs that do not last ----------------------------------------------------------------------------


def big(site: Site) -> int:
    """An execution that has printed more than sockets hold."""
    execution = site.execution(next(ids))
    for _ in range(32):
        site.print(execution, bytes(CHUNK_BYTES * 16))
    return execution


def test_a_client_that_takes_nothing_is_left(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "PATIENCE_S", 0.2)
    execution = big(site)
    with site.client() as client, client.stream("GET", f"/executions/{execution}/stdout?follow=true"):
        watch = site.services.part(outputs.OutputWatch)
        eventually(lambda: execution in watch.bells)
        eventually(lambda: execution not in watch.bells)


def test_an_output_that_is_deleted_while_it_is_sent_does_not_look_complete(site: Site) -> None:
    execution = big(site)
    with site.client() as client, client.stream("GET", f"/executions/{execution}/stdout") as answer:
        site.forget(execution)
        with pytest.raises(httpx.RemoteProtocolError):
            for _ in answer.iter_raw():
                pass


# However long ----------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_two_hundred_megabytes_are_sent_in_a_memory_that_does_not_grow(site: Site) -> None:
    execution, piece = site.execution(next(ids)), bytes(range(256)) * (CHUNK_BYTES // 256)
    for _ in range(200):
        total = site.print(execution, piece * 16)
    site.ended(execution, total)
    site.shown()
    process = psutil.Process()
    get(site, f"/executions/{execution}/stdout?tail=4000000")  # buffers have their size now
    before = most = process.memory_info().rss
    for query in ("", "?follow=true"):
        got = 0
        with site.client() as client, client.stream("GET", f"/executions/{execution}/stdout{query}") as answer:
            for part in answer.iter_raw():
                got += len(part)
                most = max(most, process.memory_info().rss)
        assert got == total == 200 * 1024 * 1024
    assert most - before < 30_000_000, f"{most - before} bytes more"
