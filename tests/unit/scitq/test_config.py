"""Settings: which source wins, what is refused and how, and that no secret is ever shown."""

from __future__ import annotations

import logging
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scitq.config import Settings, load
from scitq.config.settings import NAMES
from scitq.config.values import ServerAddress, Token, without_passwords
from scitq.errors import Malformed
from scitq.store.urls import default_folder, store_urls

ROOT = Path(__file__).parents[3]
CANARY = "canary-0123456789abcdef"
HOME = {"HOME": "/home/ada"}


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    return tmp_path / "scitq.conf"


def from_file(conf: Path, content: str | bytes, **environ: str) -> Settings:
    conf.write_bytes(content if isinstance(content, bytes) else content.encode())
    conf.chmod(0o600)
    return load(environ=HOME | environ, files=[conf])


def from_environment(**environ: str) -> Settings:
    return load(environ=HOME | environ, files=[])


def refusal(**environ: str) -> str:
    with pytest.raises(Malformed) as caught:
        from_environment(**environ)
    return str(caught.value)


def test_without_any_word_everything_has_its_default() -> None:
    found = from_environment()
    assert (found.host, found.port, found.bus, found.auth) == ("127.0.0.1", 5000, ("local:",), "token")
    assert found.data == Path("/home/ada/.local/share/scitq") and found.store == str(found.data)
    assert found.server == ServerAddress("127.0.0.1", 5000) and found.token is None and found.trusted == ()
    assert (found.log_file, found.log_level, found.log_file_max_size, found.log_file_keep) == (None, "INFO", 10**7, 3)
    assert set(found.sources.values()) == {"default"} and not found.notes


def test_what_is_about_a_broker_is_refused_where_there_is_none() -> None:
    for name, text in (("SCITQ_BUS_ADMIN", f"http://u:{CANARY}@h:15672"), ("SCITQ_BUS_PUBLIC", "amqp://h")):
        assert "SCITQ_BUS is local: set that too" in refusal(**{name: text})
        assert CANARY not in refusal(**{name: text})
        assert from_environment(**{name: text, "SCITQ_BUS": "amqp://h"}).shown()[name].count("h") > 0


def test_the_default_store_is_the_one_that_the_store_itself_would_take(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", "/somewhere")
    found = load(environ=os.environ | {"SCITQ_STORE": "", "SCITQ_DATA": ""}, files=[])
    assert found.data == default_folder() and store_urls(found.store) == store_urls(None)


def test_the_store_and_the_working_folder_follow_the_data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("scitq.config.settings.SCRATCH", tmp_path / "scratch")
    found = from_environment(SCITQ_DATA="/data")
    assert found.store == "/data" and found.base_workdir == Path("/data/work")
    (tmp_path / "scratch").mkdir()
    assert from_environment().base_workdir == tmp_path / "scratch"


def test_flags_win_over_the_environment_over_own_file_over_the_systems_over_defaults(tmp_path: Path) -> None:
    system, own = tmp_path / "system.conf", tmp_path / "own.conf"
    system.write_text("SCITQ_PORT=1\nSCITQ_HOST=system\nLOG_LEVEL=debug\nLOG_FILE_KEEP=9")
    own.write_text("# mine\n\nSCITQ_PORT=2\nSCITQ_HOST=own\nLOG_LEVEL=error\n")
    environ = HOME | {"SCITQ_PORT": "3", "SCITQ_HOST": "environment"}
    found = load({"SCITQ_PORT": "4"}, environ, [system, own])
    assert (found.port, found.host, found.log_level, found.log_file_keep) == (4, "environment", "ERROR", 9)
    assert found.sources["SCITQ_PORT"] == "flag --port" and found.sources["SCITQ_HOST"] == "environment"
    assert found.sources["LOG_LEVEL"] == f"{own} line 5" and found.sources["LOG_FILE_KEEP"] == f"{system} line 4"
    assert found.sources["SCITQ_AUTH"] == "default"


def test_the_users_file_is_found_by_itself(tmp_path: Path) -> None:
    for environ in ({"HOME": str(tmp_path)}, {"HOME": "/", "XDG_CONFIG_HOME": str(tmp_path / ".config")}):
        path = tmp_path / ".config" / "scitq" / "scitq.conf"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("LOG_FILE_KEEP=7\n")
        assert load(environ=environ).log_file_keep == 7


def test_an_empty_value_is_none_and_an_empty_flag_is_a_mistake(conf: Path) -> None:
    assert from_file(conf, "SCITQ_PORT=\nSCITQ_HOST=''\n", SCITQ_AUTH="").sources["SCITQ_PORT"] == "default"
    with pytest.raises(Malformed, match=r"^SCITQ_DATA \(flag --data\) must be a path"):
        load({"SCITQ_DATA": ""}, HOME, [])


@pytest.mark.parametrize(
    ("text", "url", "token"),
    [
        ("somewhere", "http://somewhere:5000", None),
        ("Some.Where.org:81", "http://some.where.org:81", None),
        ("https://somewhere/", "https://somewhere:443", None),
        (f"x:{CANARY}@10.0.0.1:6000", "http://10.0.0.1:6000", CANARY),
        (f"HTTPS://x:{CANARY}%2B@[2001:DB8::1]:6000", "https://[2001:db8::1]:6000", CANARY + "+"),
    ],
)
def test_the_address_of_a_server_is_read_in_all_its_forms(text: str, url: str, token: str | None) -> None:
    found = from_environment(SCITQ_SERVER=text).server
    assert found.url == url and (found.token.reveal() if found.token else None) == token


def test_every_kind_of_value_arrives_typed() -> None:
    found = from_environment(
        SCITQ_BUS="amqp://u:p@one:5672/v, amqps://two", SCITQ_TRUSTED="10.0.0.0/8, 192.168.1.7 fd00::/8",
        SCITQ_HOST="[::1]", LOG_FILE="~/x.log", BASE_WORKDIR="/a/../b", LOG_LEVEL="warning", SCITQ_TOKEN=CANARY,
        SCITQ_STORE="~/store",
    )  # fmt: skip
    assert found.bus == ("amqp://u:p@one:5672/v", "amqps://two") and found.host == "::1"
    assert found.trusted == tuple(map(ip_network, ("10.0.0.0/8", "192.168.1.7/32", "fd00::/8")))
    assert found.log_file == Path("/home/ada/x.log") and found.base_workdir == Path("/b")
    assert found.store == "/home/ada/store" and found.token == Token(CANARY) and found.log_level == "WARNING"


BAD = [
    ("SCITQ_STORE", "mysql://u:canary@h/db"), ("SCITQ_STORE", "postgresql:/u:canary@h/db"),
    ("SCITQ_STORE", "sqlite://"), ("SCITQ_BUS", "local"), ("SCITQ_BUS", "http://u:canary@h"), ("SCITQ_BUS", "amqp://"),
    ("SCITQ_BUS_PREFIX", "lab.one"), ("SCITQ_BUS_PREFIX", "-lab"), ("SCITQ_BUS_PREFIX", "x" * 41),
    ("SCITQ_BUS_PREFIX", "lab one"), ("SCITQ_BUS_PREFIX", "laß"),
    ("SCITQ_BUS", "amqp://h:99999"), ("SCITQ_BUS", "amqp://h:0"), ("SCITQ_BUS", "local:,amqp://u:canary@h"),
    ("SCITQ_BUS_ADMIN", "amqp://u:canary@h"), ("SCITQ_BUS_ADMIN", "http://"), ("SCITQ_BUS_ADMIN", "http://u:canary@h:0"),
    ("SCITQ_BUS_ADMIN", "http://u:canary@h/?x=1"), ("SCITQ_BUS_PUBLIC", "amqp://u:canary@h"),
    ("SCITQ_BUS_PUBLIC", "local:"), ("SCITQ_BUS_PUBLIC", "http://h"),
    ("SCITQ_BUS", "amqp://[::1"), ("SCITQ_BUS", "amqp://a b"), ("SCITQ_BUS", "amqp://u:canary@h,"),
    ("SCITQ_HOST", "a b"), ("SCITQ_HOST", "999.1.1.1"), ("SCITQ_HOST", "[host]"), ("SCITQ_HOST", "fe80::1%eth0"),
    ("SCITQ_HOST", "a/b"), ("SCITQ_HOST", "x" * 300), ("SCITQ_PORT", "-1"), ("SCITQ_PORT", "65536"),
    ("SCITQ_PORT", "5e3"), ("SCITQ_PORT", "٥٠٠٠"), ("SCITQ_PORT", "9" * 5000), ("SCITQ_PORT", " "),
    ("SCITQ_DATA", "~somebody/x"), ("SCITQ_DATA", "a\0b"), ("SCITQ_DATA", "a\nb"), ("SCITQ_DATA", "a\udcffb"),
    ("SCITQ_SERVER", "h:0"), ("SCITQ_SERVER", "h:99999"), ("SCITQ_SERVER", "ftp://h"), ("SCITQ_SERVER", "h/path"),
    ("SCITQ_SERVER", "x:canary@h"), ("SCITQ_SERVER", "canary-canary-canary@h"), ("SCITQ_SERVER", "::1"),
    ("SCITQ_TOKEN", "canary"), ("SCITQ_TOKEN", "canary canary canary"), ("SCITQ_TOKEN", "canary-canäry-canary"),
    ("SCITQ_TOKEN", "canary" * 200), ("SCITQ_AUTH", "off"), ("SCITQ_TRUSTED", "10.0.0.1/8"),
    ("SCITQ_TRUSTED", "somewhere"), ("LOG_LEVEL", "LOUD"), ("LOG_FILE_MAX_SIZE", "10M"), ("LOG_FILE_KEEP", "1001"),
    ("BASE_WORKDIR", "x" * 5000),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value"), BAD)
def test_a_bad_value_is_one_sentence_with_setting_source_and_what_is_right(name: str, value: str) -> None:
    said = refusal(**{name: value})
    assert said.startswith(f"{name} (environment) must be {NAMES[name].kind.words}")
    assert said.isprintable() and len(said) < 250 and "canary" not in said


def test_only_the_value_in_force_is_judged(conf: Path) -> None:
    assert from_file(conf, "SCITQ_PORT=x", SCITQ_PORT="81").port == 81
    with pytest.raises(Malformed, match=rf"^SCITQ_PORT \({re.escape(str(conf))} line 2\) must be .*, not 'x'$"):
        from_file(conf, "#\nSCITQ_PORT=x")


@pytest.mark.parametrize("name", ["SCITQ_DATA", "SCITQ_STORE", "LOG_FILE", "BASE_WORKDIR"])
def test_a_relative_path_is_right_in_the_environment_and_wrong_in_a_file(name: str, conf: Path) -> None:
    from_environment(**{name: "some/folder"})
    with pytest.raises(Malformed, match="line 1"):
        from_file(conf, f"{name}=some/folder")
    assert "/home/ada/x" in from_file(conf, f"{name}=~/x").shown()[name]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("SCITQ_PORT", "line 1 is not KEY=value"),
        ("\n=5", "line 2 is not KEY=value"),
        ("export SCITQ_PORT=5", "line 1 is not KEY=value"),
        ("SCITQ_PORT=5\nSCITQ_PORT=6", "line 2 sets SCITQ_PORT again; line 1"),
        ("SCITQ_HOST='a", "line 1 has a quote"),
        ("SCITQ_HOST='a' # b", "line 1 has a quote"),
        ("SCITQ_HOST='", "line 1 has a quote"),
        ("SCITQ_PORT=5 # five", "line 1 has a comment behind its value"),
        ("SCITQ_PROT=5", "line 1: SCITQ_PROT is not a setting; did you mean SCITQ_PORT?"),
        ("scitq_port=5", "line 1: scitq_port is not a setting; did you mean SCITQ_PORT?"),
        ("PORT=5", "line 1: PORT is not a setting; did you mean SCITQ_PORT?"),
        ("SCITQ_LOG_LEVEL=INFO", "did you mean LOG_LEVEL?"),
        ("SCITQ_QQQQ=5", "line 1: SCITQ_QQQQ is not a setting"),
        (b"\xff\xfe\x00\x01", "is not a text in UTF-8"),
        (b"SCITQ_HOST=a\0b", "SCITQ_HOST"),
        (b"\0" * 100, "line 1 is not KEY=value"),
        (b"#" * 70_000, "longer than 65536 bytes"),
        (f"{CANARY}", "line 1 is not KEY=value"),
        (f"{CANARY}=x", "line 1 is not KEY=value"),
        (f"SCITQ_TOKEN='{CANARY}", "line 1 has a quote"),
    ],
)
def test_a_bad_file_is_one_sentence_with_file_and_line(content: str | bytes, says: str, conf: Path) -> None:
    with pytest.raises(Malformed) as caught:
        from_file(conf, content)
    said = str(caught.value)
    assert says in said and str(conf) in said and said.isprintable() and CANARY not in said


def test_a_good_file_may_have_quotes_comments_spaces_and_another_systems_line_ends(conf: Path) -> None:
    found = from_file(
        conf, "\ufeff# c\r\n SCITQ_HOST = \"a\" \r\nLOG_FILE='/a # b'\r\n  # c\r\nBASE_WORKDIR=/a#b=c\r\n"
    )
    assert (found.host, found.log_file, found.base_workdir) == ("a", Path("/a # b"), Path("/a#b=c"))


def test_what_is_no_regular_file_is_refused_and_what_is_not_there_is_passed_over(conf: Path) -> None:
    assert load(environ=HOME, files=[conf, Path("/dev/null/x")]).port == 5000
    fifo, loop = conf.with_name("fifo"), conf.with_name("loop")
    os.mkfifo(fifo)
    loop.symlink_to(loop)
    conf.mkdir()
    for path in (conf, fifo, loop, Path("/dev/zero"), Path("a\0b"), Path("x" * 300)):
        with pytest.raises(Malformed, match="cannot be read as a file of settings"):
            load(environ=HOME, files=[path])


@contextmanager
def as_nobody() -> Iterator[None]:
    """Root may read everything: for a moment be somebody who may not."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(65_534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


def test_a_file_that_may_not_be_read_is_noted(conf: Path) -> None:
    conf.write_text(f"SCITQ_TOKEN={CANARY}\n")
    conf.chmod(0)
    with as_nobody():
        found = load(environ=HOME, files=[conf])
    assert found.token is None and found.notes == (
        f"{conf} may not be read by this user: what it sets is not in force here",
    )


def test_what_is_allowed_and_dangerous_is_noted(conf: Path) -> None:
    found = from_environment(SCITQ_AUTH="None", SCITQ_TRUSTED="::/0", SCITQ_PROT="1", SCITQ_OTHER_PROGRAM="1")
    assert [note.split()[0] for note in found.notes] == ["'SCITQ_PROT'", "SCITQ_AUTH", "SCITQ_TRUSTED"]
    assert not from_file(conf, f"SCITQ_TOKEN={CANARY}").notes
    conf.chmod(0o644)
    (note,) = load(environ=HOME, files=[conf]).notes
    assert f"chmod 640 {conf}" in note and CANARY not in note


def test_keys_of_other_programs_are_named_and_passed_over(conf: Path) -> None:
    (note,) = from_file(conf, f"OS_PASSWORD={CANARY}\nPATH=/bin\n").notes
    assert "OS_PASSWORD, PATH" in note and CANARY not in note


def test_an_unknown_flag_is_refused_with_the_one_that_was_meant() -> None:
    with pytest.raises(Malformed, match="did you mean SCITQ_PORT"):
        load({"SCITQ_PROT": "1"}, HOME, [])


def test_a_user_without_a_home_has_to_say_where_the_data_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(_: int) -> None:
        raise KeyError

    monkeypatch.setattr("pwd.getpwuid", unknown)
    with pytest.raises(Malformed, match="SCITQ_DATA has no default"):
        load(environ={})
    assert load(environ={"SCITQ_DATA": "/data"}, files=[]).store == "/data"


def test_no_secret_is_shown_printed_or_logged(caplog: pytest.LogCaptureFixture) -> None:
    found = from_environment(
        SCITQ_TOKEN=CANARY, SCITQ_SERVER=f"x:{CANARY}@h", SCITQ_STORE=f"postgresql://u:{CANARY}@h/db?sslpassword={CANARY}",
        SCITQ_BUS=f"amqp://u:{CANARY}@h,amqps://v:{CANARY}@i",
    )  # fmt: skip
    logging.getLogger("test").warning("settings %s %r %s", found, found, found.server)
    assert "***" in caplog.text and CANARY not in caplog.text + repr(found) + str(found.shown())
    assert found.shown()["SCITQ_BUS"] == "amqp://u:***@h,amqps://v:***@i"


@given(user=st.text("abc", max_size=3), password=st.text(min_size=1).map(lambda text: f":{CANARY}{text}"))
def test_a_password_is_hidden_whatever_it_holds(user: str, password: str) -> None:
    for scheme in ("", "amqp://", "postgresql:/", "postgresql+psycopg2://"):
        assert CANARY not in without_passwords(f"{scheme}{user}{password}@host/db")


HOSTILE = st.text(st.characters(), max_size=40) | st.sampled_from([value for _, value in BAD])
KEYS = st.sampled_from([*NAMES, "HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "SCITQ_PROT"])


def loaded_or_refused(environ: dict[str, str], files: list[Path]) -> None:
    try:
        found = load(environ=environ, files=files)
    except Malformed as refused:
        assert str(refused).isprintable() and str(refused)
    else:
        assert all(map(str.isprintable, [*found.notes, repr(found)]))
        assert found.data.is_absolute() and 0 <= found.port <= 65_535 and found.auth in ("token", "none")


@given(st.dictionaries(KEYS | HOSTILE, HOSTILE))
def test_any_environment_gives_settings_or_one_sentence(environ: dict[str, str]) -> None:
    loaded_or_refused(environ, [])


LINES = st.lists(st.tuples(KEYS, st.just("="), HOSTILE).map("".join) | HOSTILE).map("\n".join)


@given(st.binary() | LINES.map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_any_file_gives_settings_or_one_sentence(content: bytes) -> None:
    with tempfile.NamedTemporaryFile() as file:
        Path(file.name).write_bytes(content)
        loaded_or_refused(HOME, [Path(file.name)])


def test_every_setting_says_what_it_is_for_in_one_sentence() -> None:
    assert all(re.fullmatch(r"[A-Z].{20,}\.", one.help) for one in NAMES.values())
