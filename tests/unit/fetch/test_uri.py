"""URIs are values: what is written is what is meant, and what is not understood is refused in words."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from scitq.fetch import check_uri
from scitq.fetch.errors import BadURI, UnsupportedError
from scitq.fetch.uri import ACTIONS, OPTIONS, URI, Action

NAMES = st.text(st.characters(exclude_characters="\0"), min_size=1, max_size=30)


def test_a_uri_is_taken_apart() -> None:
    uri = URI("run+fastq@sra@filter_r1://SRR1|untar|mv:sub/below")
    assert uri.protocol == "run+fastq"
    assert uri.options == ("sra", "filter_r1")
    assert uri.path == "SRR1"
    assert uri.actions == (Action("untar"), Action("mv", "sub/below"))
    assert not uri.is_folder
    assert URI("s3://bucket/reads/").is_folder
    assert URI("s3://bucket/a b/c.fa").name == "c.fa"
    assert URI("https://host/a%20b.fa?download=1#x").name == "a b.fa"


def test_the_same_text_is_the_same_value() -> None:
    assert {URI("s3://a/b"), URI(URI("s3://a/b"))} == {URI("s3://a/b")}
    assert URI("s3://a/b") != URI("s3://a/b/")


@pytest.mark.parametrize(
    ("left", "right", "joined"),
    [
        ("s3://temp", "test", "s3://temp/test"),
        ("s3://temp/", "/test", "s3://temp/test"),
        ("s3@sra://temp", "a/b/", "s3@sra://temp/a/b/"),
        ("s3://temp", "a.tgz|untar|mv:x", "s3://temp/a.tgz|untar|mv:x"),
        ("file:///", "a", "file:///a"),
    ],
)
def test_a_slash_joins(left: str, right: str, joined: str) -> None:
    assert str(URI(left) / right) == joined


def test_what_is_whole_cannot_be_joined() -> None:
    with pytest.raises(UnsupportedError, match="place of its own"):
        URI("s3://a") / "s3://b"
    with pytest.raises(UnsupportedError, match="actions come last"):
        URI("s3://a|untar") / "b"


def test_a_plus_gives_text() -> None:
    assert URI("s3://a") + "/b" == "s3://a/b"


def test_a_name_may_hold_a_pipe() -> None:
    child = URI("s3://bucket").child("odd|name%7Cby somebody")
    assert child.path == "bucket/odd|name%7Cby somebody"
    assert str(child) == "s3://bucket/odd%7Cname%257Cby somebody"
    assert URI(str(child)) == child


@pytest.mark.parametrize(
    ("text", "position", "words", "suggestion"),
    [
        ("", 0, "a protocol is missing", None),
        ("reads.fq", 0, "a protocol is missing", None),
        ("/data/reads.fq", 0, "a protocol is missing", "file:///data/reads.fq"),
        ("s3:/bucket/reads", 2, ":// is missing", "s3://…"),
        ("s3:bucket/reads", 2, ":// is missing", "s3://…"),
        ("https//host/a", 5, ":// is missing", "https://…"),
        ("://bucket", 0, "before ://", None),
        ("s 3://bucket", 1, "not ' '", None),
        ("s3://", 5, "nothing follows", None),
        ("file://data/a", 7, "begins with a slash", "file:///data/a"),
        ("https@aria://host/a", 6, "no option 'aria'", "aria2"),
        ("https@aria2@aria2://host/a", 12, "given twice", None),
        ("run+fastq@filter_r2://ERR1", 10, "no option 'filter_r2'", "filter_r1"),
        ("run+fastq@srs://ERR1", 10, "no option 'srs'", "sra"),
        ("run+fastq://err3857002", 12, "one accession", "run+fastq://ERR3857002"),
        ("run+fastq://ERR1/reads", 12, "one accession", None),
        ("run+submitted://../../etc", 16, "one accession", None),
        ("fasp://", 7, "nothing follows", None),
        ("fasp://user@-oProxy=x:/file", 7, "user@host:path is expected", None),
        ("fasp://host", 7, "user@host:path is expected", None),
        ("https:///a", 8, "a host is expected", None),
        ("https://ho st/a", 10, "a host is expected", None),
        ("https://host:port/a", 12, "a host is expected", None),
        ("ftp://host:99999/a", 11, "no such port", None),
        ("s3://b/a.tgz|untr", 13, "no action 'untr'", "untar"),
        ("s3://b/a.tgz|", 13, "no action ''", None),
        ("s3://b/a.tgz|untar|unzp", 19, "no action 'unzp'", "unzip"),
        ("s3://b/a.tgz|mv sub", 13, "no action 'mv sub'", "mv:sub"),
        ("s3://b/a.tgz|untar:x", 18, "takes nothing", "untar"),
        ("s3://b/a.tgz|mv:", 16, "name of a folder", "mv:folder"),
        ("s3://b/a.tgz|mv:../x", 16, "a folder below", None),
        ("s3://b/a.tgz|mv:/x", 16, "a folder below", None),
        ("s3://b/a\0b", 8, "NUL", None),
    ],
)
def test_a_fault_is_named_with_its_place(text: str, position: int, words: str, suggestion: str | None) -> None:
    with pytest.raises(BadURI) as refused:
        URI(text)
    assert (refused.value.position, refused.value.suggestion) == (position, suggestion), str(refused.value)
    assert words in str(refused.value)


def test_a_protocol_that_nobody_speaks_is_named_with_one_that_is_like_it() -> None:
    with pytest.raises(BadURI, match=r"no protocol 'fiel'.*did you mean file://"):
        check_uri("fiel:///a")
    assert check_uri("file:///a|untar") == "file"


@pytest.mark.parametrize(
    "text",
    ["https://someone:Geheim@host/a?X-Signature=Geheim", "ftp://someone:Geh@im:Geheim@host/a", "http://Geheim@host/a"],
)
def test_secrets_are_not_shown(text: str) -> None:
    uri = URI(text)
    assert "Geheim" not in uri.shown
    assert "Geheim" not in repr(uri)
    assert str(uri) == text


WORDS = """s3 file https ftp run+fastq @ :// : / | host :80 .. %7C $(id) `id` mv: " ' é a.tar.gz"""
PIECES = [*WORDS.split(), " ", "\n", "\udcff", "\0", *OPTIONS, *ACTIONS]
NEARLY_RIGHT = st.binary(max_size=12).map(lambda drawn: "".join(PIECES[byte % len(PIECES)] for byte in drawn))


@settings(max_examples=10_000, deadline=None, database=None)
@given(NEARLY_RIGHT)
@example("")
def test_what_is_nearly_a_uri_is_one_or_refused_in_words(text: str) -> None:
    look_at(text)


@settings(deadline=None, database=None)
@given(st.text(max_size=60))
def test_any_text_is_a_uri_or_refused_in_words(text: str) -> None:
    look_at(text)


def look_at(text: str) -> None:
    try:
        uri = URI(text)
    except BadURI as refused:
        assert 0 <= refused.position <= len(text)
        assert str(refused).startswith("this is no URI: ")
        assert len(str(refused)) < 300
        return
    assert URI(str(uri)) == uri
    assert "\0" not in uri.path
    assert set(uri.options) <= set(OPTIONS)
    assert {action.name for action in uri.actions} <= set(ACTIONS)


@given(NAMES)
def test_any_name_can_be_a_child_and_be_written(name: str) -> None:
    child = URI("s3://bucket/folder/").child(name)
    assert child.path == "bucket/folder/" + name
    assert URI(str(child)) == child


@pytest.mark.parametrize(
    "text",
    [
        "run+fastq://ERR3857002", "run+fastq@sra@filter_r1://SRR9/", "run+fastq@ftp://SAMEA6513017|mv:reads",
        "run+submitted@aspera://ERR1", "fasp://era-fasp@fasp.sra.ebi.ac.uk:/vol1/a b", "fasp://host.org/a",
    ],
)  # fmt: skip
def test_what_the_archives_speak_can_be_fetched(text: str) -> None:
    assert check_uri(text) == URI(text).protocol


@pytest.mark.parametrize("text", ["run+submitted@sra://ERR1", "run+submitted@filter_r1://ERR1", "fasp@sra://host/a"])
def test_an_option_of_another_protocol_is_refused(text: str) -> None:
    with pytest.raises(UnsupportedError, match="has no option"):
        check_uri(text)
