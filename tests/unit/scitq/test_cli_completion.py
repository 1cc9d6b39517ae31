"""The Tab key: what is offered where, in time, and without harm from what others have named."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from scitq.cli import complete, complete_values, completion
from tests.unit.scitq.scripted import Asked, Said, serving

ROOT = Path(__file__).parents[3]
TREE = complete.walk()
TASKS = [
    {"task_id": 12, "status": "failed", "name": "a\x1b[2J", "command": "gzip -9 x"},
    {"task_id": 7, "status": "running", "name": "$(touch pwned)", "command": "true"},
]
BATCHES = [{"batch": "samples", "tasks": 3, "running": None}, {"batch": "$(touch pwned)", "tasks": 1, "running": 1}]


@pytest.fixture(autouse=True)
def server(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Any]]:
    asked: list[tuple[str, Any]] = []

    def answer(path: str, query: Any = None) -> Any:
        asked.append((path, query))
        return {"/tasks/": TASKS, "/batch/": BATCHES, "/workers/": []}[path]

    monkeypatch.setattr(complete_values, "_get", answer)
    return asked


def offered(line: str) -> list[str]:
    """For the last word of a line; a line that ends with a space has an empty one."""
    *before, word = line.split(" ")
    return [found for found, _ in complete.candidates(TREE, before, word)]


@pytest.mark.parametrize(
    ("line", "some"),
    [
        ("scitq m", ["manage"]),
        ("scitq manage ta", ["task"]),
        ("scitq-manage task rel", ["relaunch", "release"]),
        ("scitq-manage task list --st", ["--status"]),
        ("scitq-manage -t 5 task show -i ", ["12", "7"]),
        ("scitq manage task output --id 1", ["12"]),
        ("scitq-manage task list -S f", ["failed"]),
        ("scitq-manage task list --status=f", ["--status=failed"]),
        ("scitq-manage worker update -S ", ["running", "paused"]),
        ("scitq-launch -b s", ["samples"]),
        ("scitq-launch -R ", ["12", "7"]),
        ("scitq-manage batch stop -n sam", ["samples"]),
        ("scitq worker -b sam", ["samples"]),
        ("scitq-worker --bus a", ["amqp", "auto"]),
        ("scitq completion show z", ["zsh"]),
        ("scitq-launch gzip ", [":files"]),
        ("scitq launch -- -", [":files"]),
        ("scitq-manage event verify --export ", [":files"]),
        ("scitq-manage event list --type task-cr", ["task-created"]),
        ("scitq-manage task list -n", ["-n"]),
        ("scitq-manage task nothing ", []),
        ("scitq-manage task show -i x", []),
        ("unknown-program x", []),
    ],
)
def test_what_may_come_next_is_offered(line: str, some: list[str]) -> None:
    found = offered(line)
    assert found[: len(some)] == some if some else not [one for one in found if one != ":files"], found


def test_a_verb_is_offered_the_tasks_that_it_is_for(server: list[tuple[str, Any]]) -> None:
    offered("scitq-manage task relaunch -i ")
    assert server[-1][1]["status"] == "failed,succeeded"


def test_an_id_that_is_begun_is_looked_for_among_all(server: list[tuple[str, Any]]) -> None:
    offered("scitq-manage task show -i 12")
    assert server[-1][1]["task_id"].startswith("12,120,121")


def test_what_could_steer_a_terminal_is_not_offered() -> None:
    assert offered("scitq-manage task show -n ") == ["$(touch pwned)"], "and not the name with an escape in it"
    texts = [text for _, text in complete.candidates(TREE, ["scitq-manage", "task", "show", "-i"], "")]
    assert all(text.isprintable() for text in texts) and "gzip -9 x" in texts[0]


def run(home: Path, url: str, *line: str) -> subprocess.CompletedProcess[str]:
    environ = {"HOME": str(home), "PYTHONPATH": str(ROOT), "SCITQ_SERVER": url, "SCITQ_TOKEN": "x" * 30}
    return subprocess.run(
        [sys.executable, "-P", "-m", "scitq.cli.complete", "bash", str(len(line) - 1), *line],
        env=environ, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_a_server_that_is_dead_slow_or_refuses_gives_neither_an_error_nor_a_word(tmp_path: Path) -> None:
    released = threading.Event()

    def slow(asked: Asked) -> Said:
        released.wait(60)
        return Said([])

    with serving(slow) as there, serving(lambda asked: Said({"message": "no"}, 401)) as refusing:
        for url in ("http://127.0.0.1:9", there.url, refusing.url, "not an address"):
            done = run(tmp_path, url, "scitq-manage", "task", "show", "-i", "")
            assert (done.returncode, done.stdout, done.stderr) == (0, "", ""), url
        released.set()


def test_what_the_server_has_comes_with_what_it_is(tmp_path: Path) -> None:
    with serving(lambda asked: Said(TASKS)) as there:
        done = run(tmp_path, there.url, "scitq-manage", "task", "show", "-i", "")
    if done.stdout:  # a machine that is too busy says nothing, as it should
        assert done.stdout.splitlines()[0].startswith("12\tfailed ")
    kept = list((tmp_path / ".cache" / "scitq").iterdir())
    assert len(kept) == 1, "the commands are kept for the next Tab"
    kept[0].write_text("[]")
    assert "task\tTasks." in run(tmp_path, "http://127.0.0.1:9", "scitq-manage", "ta").stdout, "and made anew"


FAKE = r"""#!/bin/sh
printf '%s\n' 'samples	3 tasks' '$(touch pwned)	1 task' 'two words	x'
"""


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Answers in the place of Python."""
    program = tmp_path / "fake python"
    program.write_text(FAKE)
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    return program


@pytest.mark.parametrize(
    ("words", "replies"),
    [
        (("scitq-launch", "-b", ""), [r"samples", r"\$\(touch\ pwned\)", r"two\ words"]),
        (("scitq-launch", "-b", '"'), ["samples", "two words"]),
        (("scitq-launch", "--batch", "=", "s"), [r"samples", r"\$\(touch\ pwned\)", r"two\ words"]),
    ],
)
def test_bash_gets_words_that_do_no_harm(
    fake: Path, tmp_path: Path, words: tuple[str, ...], replies: list[str]
) -> None:
    script = (
        completion.script(completion.Shell.bash)
        + f"""
COMP_WORDS=({" ".join(map(shlex.quote, words))}); COMP_CWORD={len(words) - 1}; COMP_TYPE=9
_scitq; printf '%s\\n' "${{COMPREPLY[@]}}"
"""
    )
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=60, cwd=tmp_path, check=True)
    assert done.stdout.splitlines() == replies and not done.stderr
    assert not (tmp_path / "pwned").exists()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_is_one_of_its_shell(shell: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    script = completion.script(completion.Shell(shell))
    done = subprocess.run([shell, "-n"], input=script, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0 and not done.stderr


@pytest.mark.skipif(shutil.which("fish") is None, reason="fish is not installed")
def test_fish_offers_them_with_what_they_are(fake: Path, tmp_path: Path) -> None:
    script = completion.script(completion.Shell.fish) + "\ncomplete -C 'scitq-launch -b '\n"
    done = subprocess.run(
        ["fish", "--no-config", "-c", script], capture_output=True, text=True, timeout=60,
        env=os.environ | {"HOME": str(tmp_path)}, check=False,
    )  # fmt: skip
    assert "samples\t3 tasks" in done.stdout, done


def test_it_is_installed_once(tmp_path: Path) -> None:
    environ = {"HOME": str(tmp_path), "PYTHONPATH": str(ROOT), "SHELL": "/bin/bash", "PATH": os.environ["PATH"]}
    (tmp_path / ".bashrc").write_text("# mine")
    for _ in range(2):
        subprocess.run(
            [sys.executable, "-m", "scitq", "completion", "install"], env=environ, timeout=60, check=True,
            stdout=subprocess.PIPE,
        )  # fmt: skip
    file = tmp_path / ".local" / "share" / "scitq" / "completion.bash"
    assert (tmp_path / ".bashrc").read_text() == f"# mine\nsource {file}\n"
    lists = "source ~/.bashrc; complete -p scitq-manage"
    done = subprocess.run(["bash", "-c", lists], env=environ, capture_output=True, text=True, timeout=60, check=True)
    assert "_scitq" in done.stdout
