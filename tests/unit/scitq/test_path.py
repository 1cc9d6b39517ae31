"""`scitq.path.URI`, as programs written for scitq 1 use it."""

from pathlib import Path

import pytest

from scitq import fetch
from scitq.fetch.errors import BadURI
from scitq.path import URI


def test_a_place_can_be_asked_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/a").write_bytes(b"123")
    top = URI(f"file://{tmp_path}")
    sub = top / "sub"
    assert {type(sub), type(sub / "a")} == {URI}
    assert top.isdir() and sub.isdir() and not sub.isfile() and sub.check_type("dir")
    assert (sub / "a").isfile() and (sub / "a").exists() and not (sub / "a").isdir()
    assert not (top / "none").exists() and not (top / "none").isfile()
    assert (sub / "a").info.size == 3
    assert [item.rel_name for item in top.list()] == ["sub/", "sub/a"]
    assert sub + "/x" == f"file://{tmp_path}/sub/x"
    assert (sub / "a").path == f"{tmp_path}/sub/a"


def test_a_protocol_is_checked_unless_it_is_given() -> None:
    with pytest.raises(BadURI, match="no protocol"):
        URI("nowhere://a")
    assert str(URI("nowhere://a", proto="nowhere")) == "nowhere://a"


def test_it_is_taken_wherever_a_place_is(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"1")
    fetch.copy(URI(f"file://{tmp_path}/a"), URI(f"file://{tmp_path}/b"))
    assert (tmp_path / "b").read_bytes() == b"1"
