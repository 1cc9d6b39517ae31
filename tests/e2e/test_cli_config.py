"""scitq-manage config show, as it is used."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from scitq.config.settings import NAMES

ROOT = Path(__file__).parents[2]
CANARY = "canary-0123456789abcdef"
SECRETS = {
    "SCITQ_TOKEN": CANARY,
    "SCITQ_SERVER": f"x:{CANARY}@somewhere",
    "SCITQ_STORE": f"postgresql://u:{CANARY}@h/db",
    "SCITQ_BUS": f"amqp://u:{CANARY}@h",
}
COMMAND = (sys.executable, "-m", "scitq.cli.manage")


def surroundings(home: Path, environment: dict[str, str]) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if name not in NAMES and "XDG_" not in name}
    return inherited | {"PYTHONPATH": str(ROOT), "COLUMNS": "200", "HOME": str(home)} | environment


def run(home: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [*COMMAND, *arguments], env=surroundings(home, environment), cwd="/", capture_output=True, text=True,
        timeout=60, check=False,
    )  # fmt: skip
    assert "Traceback" not in done.stderr + done.stdout and CANARY not in done.stderr + done.stdout
    return done


def configure(home: Path, content: bytes) -> Path:
    path = home / ".config" / "scitq" / "scitq.conf"
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    return path


def test_each_setting_is_a_line_of_name_value_and_source(tmp_path: Path) -> None:
    path = configure(tmp_path, b"# mine\nLOG_LEVEL=debug\n")
    done = run(tmp_path, "config", "show", SCITQ_PORT="81")
    assert done.returncode == 0 and not done.stderr
    lines = [line.split("\t") for line in done.stdout.splitlines()]
    assert [name for name, _, _ in lines] == list(NAMES)
    assert ["SCITQ_PORT", "81", "environment"] in lines and ["LOG_LEVEL", "DEBUG", f"{path} line 2"] in lines
    assert ["SCITQ_DATA", str(tmp_path / ".local/share/scitq"), "default"] in lines


def test_programs_get_json(tmp_path: Path) -> None:
    found = json.loads(run(tmp_path, "config", "show", "--json", SCITQ_PORT="81", **SECRETS).stdout)["settings"]
    assert list(found) == list(NAMES)
    assert found["SCITQ_PORT"] == {"value": 81, "source": "environment"}
    assert found["LOG_FILE"] == {"value": None, "source": "default"}
    assert found["SCITQ_TOKEN"]["value"] == "***" and found["SCITQ_STORE"]["value"] == "postgresql://u:***@h/db"


def test_a_terminal_gets_a_table_without_secrets(tmp_path: Path) -> None:
    main, side = pty.openpty()
    environment = surroundings(tmp_path, SECRETS)
    done = subprocess.run([*COMMAND, "config", "show"], env=environment, stdout=side, timeout=60, check=False)
    os.close(side)
    shown = b""
    while b"LOG_FILE_KEEP" not in shown:
        shown += os.read(main, 65_536)
    os.close(main)
    assert done.returncode == 0 and b"source" in shown and b"***" in shown and CANARY.encode() not in shown


def test_notes_go_to_stderr(tmp_path: Path) -> None:
    done = run(tmp_path, "config", "show", "--json", SCITQ_AUTH="none", SCITQ_PROT="1")
    assert done.returncode == 0 and json.loads(done.stdout)
    assert "did you mean SCITQ_PORT?" in done.stderr and "SCITQ_AUTH is none" in done.stderr


@pytest.mark.parametrize("content", [b"\0\xff", b"SCITQ_PROT=1", b"x" * 100_000, CANARY.encode(), b"SCITQ_AUTH=canary"])
def test_a_bad_file_is_one_sentence_and_exit_2(tmp_path: Path, content: bytes) -> None:
    configure(tmp_path, content)
    for verb in (("config", "show"), ("db", "check")):
        done = run(tmp_path, *verb)
        assert done.returncode == 2 and not done.stdout
        assert len(done.stderr.splitlines()) == 1 and done.stderr.startswith("scitq-manage: ")


@pytest.mark.parametrize("name", SECRETS)
def test_a_bad_secret_is_refused_without_showing_it(tmp_path: Path, name: str) -> None:
    done = run(tmp_path, "config", "show", **{name: f"bad: {CANARY} @"})
    assert done.returncode == 2 and done.stderr.startswith(f"scitq-manage: {name} (environment) must be ")


def test_the_address_of_a_store_is_not_shown_when_it_is_wrong(tmp_path: Path) -> None:
    done = run(tmp_path, "db", "check", "--store", f"postgresql://u:{CANARY}@h:port/db")
    assert done.returncode == 2 and "no address of a database" in done.stderr


def test_the_store_of_the_configuration_is_the_one_that_is_used(tmp_path: Path) -> None:
    configure(tmp_path, f"SCITQ_DATA={tmp_path}/mine\n".encode())
    assert run(tmp_path, "db", "init").returncode == 0 and (tmp_path / "mine" / "events.db").exists()
    assert run(tmp_path, "db", "check", SCITQ_STORE=str(tmp_path / "other")).returncode == 1


@pytest.mark.parametrize("arguments", [("config", "-h"), ("config", "show", "-h"), ("config", "show", "--help")])
def test_there_is_help(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    done = run(tmp_path, *arguments)
    assert done.returncode == 0 and "Usage" in done.stdout and not done.stderr


@pytest.mark.parametrize(
    "arguments", [("config", "nonsense"), ("config", "show", "x"), ("config", "show", "--nonsense")]
)
def test_bad_use_exits_with_2(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    done = run(tmp_path, *arguments)
    assert done.returncode == 2 and not done.stdout and " -h)" in done.stderr
