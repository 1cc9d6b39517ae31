"""scitq-manage as it is used: good and bad calls, exit codes, and never a traceback."""

from __future__ import annotations

import json
import os
import pty
import re
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from scitq.store.journal import open_journal
from scitq.store.urls import store_urls
from tests.contract.stores import Engine
from tests.services.postgres import PrivatePostgres

ROOT = Path(__file__).parents[2]


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """One call, from another folder than the tree's, without the caller's settings."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("SCITQ_")}
    done = subprocess.run(
        [sys.executable, "-m", "scitq.cli.manage", *arguments],
        env=inherited | {"PYTHONPATH": str(ROOT), "COLUMNS": "200"} | environment,
        cwd="/", capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert "Traceback" not in done.stderr + done.stdout
    return done


def fill(store: str) -> None:
    journal = open_journal(store_urls(store).events)
    engine = Engine(journal)
    engine.write(engine.turn("task-1", "task-2", payload=b'{"command":"echo \\u001b[31m","none":null}'))
    engine.write(engine.turn("worker-1", type="worker-joined", payload=json.dumps({"name": "w" * 300}).encode()))
    engine.write(engine.turn("task-3", payload=b"\xff\x00"))
    engine.write(engine.erasing(2))
    journal.close()


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A store of five events, to be read only."""
    store = str(tmp_path_factory.mktemp("stores") / "a folder, 100%20 odd")
    done = run("db", "init", "--store", store)
    assert done.returncode == 0, done.stderr
    fill(store)
    return store


@pytest.fixture
def spare(filled: str, tmp_path: Path) -> str:
    """The same, to be broken."""
    return str(shutil.copytree(filled, tmp_path / "spare"))


@pytest.mark.parametrize(
    "arguments",
    [(), ("db",), ("event",), ("db", "init"), ("db", "upgrade"), ("db", "check"), ("event", "list"), ("event", "show"),
     ("event", "verify")],
)  # fmt: skip
def test_every_verb_has_its_help(arguments: tuple[str, ...]) -> None:
    done = run(*arguments, "-h" if arguments[1:] else "--help")
    assert done.returncode == 0 and "Usage" in done.stdout and not done.stderr


@pytest.mark.parametrize(
    "arguments",
    [("nonsense",), ("event", "show"), ("event", "show", "x"), ("event", "show", "0"), ("db", "check", "surplus"),
     ("event", "list", "--limit", "0"), ("event", "list", "--since", "yesterday"), ("event", "list", "--nonsense")],
)  # fmt: skip
def test_bad_use_exits_with_2_and_says_why(arguments: tuple[str, ...], tmp_path: Path) -> None:
    done = run(*arguments, SCITQ_STORE=str(tmp_path))
    assert done.returncode == 2 and not done.stdout
    assert " -h)" in done.stderr


@pytest.mark.parametrize(
    ("verb", "store", "code", "says"),
    [
        (("event", "list"), "/nowhere/at/all", 1, "does not exist: run scitq-manage db init"),
        (("event", "show", "1"), "mysql://host/db", 2, "a store is sqlite:/// or postgresql://"),
        (("event", "verify"), "postgresql://nobody:hidden@127.0.0.1:9/db", 1, "refused"),
        (("db", "upgrade"), "/dev/null", 1, "scitq-manage:"),
    ],
)
def test_a_store_that_cannot_be_used_is_one_sentence(verb: tuple[str, ...], store: str, code: int, says: str) -> None:
    done = run(*verb, "--store", store)
    assert done.returncode == code and not done.stdout
    assert len(done.stderr.splitlines()) == 1 and says in done.stderr
    assert "hidden" not in done.stderr


def test_a_store_is_made_once(filled: str) -> None:
    again = run("db", "init", "--store", filled)
    assert again.returncode == 1 and "there is a store already" in again.stderr
    assert run("db", "upgrade", "--store", filled).returncode == 0
    checked = run("db", "check", "--store", filled)
    assert checked.returncode == 0 and "position 5" in checked.stdout and "engine holds epoch 1" in checked.stdout


def test_check_finds_what_is_missing(spare: str) -> None:
    Path(spare, "output.db").unlink()
    done = run("db", "check", "--store", spare)
    assert done.returncode == 1 and "output.db does not exist" in done.stderr


def test_the_script_of_an_empty_store_is_printed_and_not_run(tmp_path: Path) -> None:
    done = run("db", "upgrade", "--sql", "--store", "postgresql://nobody@127.0.0.1:9/db")
    assert done.returncode == 0 and "CREATE TABLE events" in done.stdout and "alembic_version_journal" in done.stdout
    assert run("db", "upgrade", "--sql", "--store", str(tmp_path / "s")).returncode == 0
    assert not (tmp_path / "s").exists()


def test_events_are_listed_as_lines_when_piped(filled: str) -> None:
    lines = run("event", "list", SCITQ_STORE=filled).stdout.splitlines()
    cells = [line.split("\t") for line in lines]
    assert [row[0] for row in cells] == ["1", "2", "3", "4", "5"]
    assert cells[0][1:] == [
        "2023-11-14T22:13:20.000001Z", "task-1", "task-created", "alice", "command=echo \N{REPLACEMENT CHARACTER}[31m",
    ]  # fmt: skip
    assert cells[1][-1] == "(erased)" and cells[3][-1] == "(2 bytes)"
    assert cells[2][-1].endswith("\N{HORIZONTAL ELLIPSIS}") and len(cells[2][-1]) == 160


@pytest.mark.parametrize(
    ("filters", "positions"),
    [
        (["--stream", "task-1"], "1"),
        (["--type", "worker-*"], "3"),
        (["--type", "task-created", "--after", "1"], "24"),
        (["--limit", "2", "--newest"], "54"),
        (["--since", "2023-11-14T22:13:20.000004"], "45"),
        (["--since", "2023-11-14T22:13:20.000002Z", "--until", "2023-11-14T23:13:20.000004+01:00"], "23"),
        (["--since", "2h"], ""),
        (["--until", "1.5d"], "12345"),
    ],
)
def test_events_are_filtered(filled: str, filters: list[str], positions: str) -> None:
    done = run("event", "list", "--json", "--store", filled, *filters)
    assert done.returncode == 0, done.stderr
    assert "".join(str(event["position"]) for event in json.loads(done.stdout)["rows"]) == positions


def test_json_tells_everything(filled: str) -> None:
    lines = run("event", "list", "--ndjson", "--store", filled).stdout.splitlines()
    events = [json.loads(line)["event"] for line in lines]
    assert json.loads(run("event", "list", "--json", "--store", filled).stdout)["rows"] == events
    assert [event["erased"] for event in events] == [False, True, False, False, False]
    assert events[0]["payload"]["command"] == "echo \x1b[31m"
    assert events[3]["payload_base64"] == "/wA="
    assert json.loads(run("event", "show", "2", "--json", "--store", filled).stdout)["event"] == events[1]


def test_one_event_is_shown_and_one_that_is_not_there_is_not(filled: str) -> None:
    shown = run("event", "show", "1", "--store", filled)
    assert shown.returncode == 0 and "stream    task-1\n" in shown.stdout and '"none": null' in shown.stdout
    absent = run("event", "show", "6", "--store", filled)
    assert absent.returncode == 3 and "there is no event 6: the log ends at position 5" in absent.stderr


def test_a_terminal_gets_a_table(filled: str) -> None:
    leader, follower = pty.openpty()
    done = subprocess.run(
        [sys.executable, "-m", "scitq.cli.manage", "event", "list", "--store", filled],
        env=os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "160", "TERM": "xterm"}, stdout=follower, check=True,
    )  # fmt: skip
    os.close(follower)
    text = os.read(leader, 65536).decode()
    os.close(leader)
    assert done.returncode == 0 and "position" in text and "(erased)" in text and "\t" not in text
    assert "echo \N{REPLACEMENT CHARACTER}[31m" in text


def test_a_log_is_verified_exported_and_compared(filled: str, tmp_path: Path) -> None:
    checkpoint = tmp_path / "checkpoint.json"
    done = run("event", "verify", "--store", filled, "--export", str(checkpoint))
    assert done.returncode == 0
    assert re.fullmatch(r"position  5\nhash      [0-9a-f]{64}\nevents/s  \d+\n", done.stdout)
    assert json.loads(checkpoint.read_text())["position"] == 5
    assert run("event", "verify", "--store", filled, "--against", str(checkpoint)).returncode == 0

    changed = json.loads(checkpoint.read_text()) | {"hash": "00" * 32}
    checkpoint.write_text(json.dumps(changed))
    other = run("event", "verify", "--store", filled, "--against", str(checkpoint))
    assert other.returncode == 1 and "event 5 is damaged" in other.stderr and not other.stdout
    checkpoint.write_text("{}")
    assert run("event", "verify", "--store", filled, "--against", str(checkpoint)).returncode == 2
    assert run("event", "verify", "--store", filled, "--against", "/nowhere.json").returncode == 1


@pytest.mark.parametrize(
    ("statement", "position"),
    [("UPDATE events SET actor = 'mallory' WHERE position = 3", 3), ("DELETE FROM events WHERE position = 5", 5)],
)
def test_damage_is_told_with_its_position(spare: str, statement: str, position: int) -> None:
    with sqlite3.connect(Path(spare, "events.db")) as connection:
        connection.execute("DROP TRIGGER events_update")
        connection.execute("DROP TRIGGER events_delete")
        connection.execute(statement)
    connection.close()
    done = run("event", "verify", "--store", spare)
    assert done.returncode == 1 and not done.stdout
    assert f"event {position} is damaged: " in done.stderr and len(done.stderr.splitlines()) == 1


def test_a_file_that_is_no_database_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "events.db").write_bytes(b"not a database, but long enough to be read as one" * 100)
    for verb in (("event", "list"), ("db", "check"), ("db", "init"), ("db", "upgrade")):
        done = run(*verb, "--store", str(tmp_path))
        assert done.returncode == 1 and "not a database" in done.stderr


def test_the_same_commands_serve_postgresql(postgres: PrivatePostgres) -> None:
    store = postgres.create_database()
    assert "run scitq-manage db upgrade" in run("event", "list", "--store", store).stderr
    assert run("db", "init", "--store", store).returncode == 0
    fill(store)
    assert run("db", "init", "--store", store).returncode == 1
    assert len(run("event", "list", "--store", store).stdout.splitlines()) == 5
    assert run("event", "verify", "--store", store).returncode == 0
    assert "position 5" in run("db", "check", "--store", store).stdout
