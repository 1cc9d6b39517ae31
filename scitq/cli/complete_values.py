"""What the values of options may be: words that are known here, and what a server tells within a moment."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import urlencode

Candidate = tuple[str, str]
Path = tuple[str, ...]

ANSWER_S: Final = 0.25
MOST: Final = 100
MOST_BYTES: Final = 1024 * 1024
TEXT_CHARS: Final = 60
FILES: Final = ":files"

TASK_STATUSES: Final = "pending running succeeded failed waiting paused assigned accepted deleted"
WORDS: Final[dict[tuple[str, str], str]] = {
    ("task list", "--status"): TASK_STATUSES,
    ("task update", "--status"): "pending paused",
    ("worker list", "--status"): "running paused offline lost",
    ("worker update", "--status"): "running paused",
    ("worker", "--status"): "running paused",
    ("execution list", "--status"): "pending accepted running succeeded failed cancelled refused lost",
    ("execution output", "--status"): "running succeeded failed cancelled refused lost",
    ("", "--color"): "auto always never",
    ("", "--role"): "engine projections effects web",
    ("", "--bus"): "gateway amqp auto",
    ("", "--signal"): "15 9 2 1 20 18 10 12",
    ("completion show", ""): "bash zsh fish",
    ("completion install", ""): "bash zsh fish",
}
"""By the end of a command's path and its option; the option "" is an argument."""
SIGNALS: Final = {
    "15": "TERM",
    "9": "KILL",
    "2": "INT",
    "1": "HUP",
    "20": "TSTP",
    "18": "CONT",
    "10": "USR1",
    "12": "USR2",
}
FOR: Final = {
    "relaunch": "failed,succeeded",
    "resume": "paused",
    "release": "waiting",
    "pause": "pending,waiting,assigned,accepted,running",
}
"""Only these tasks are of use to a verb."""
TO_FILES: Final = frozenset({"--store", "--data", "--base", "--export", "--against"})


def values(path: Path, option: str | None, word: str) -> list[Candidate]:
    """For an option, or, without one, for an argument."""
    for (end, name), words in WORDS.items():
        if name == (option or "") and " ".join(path).endswith(end) and (end or name):
            return [(one, SIGNALS.get(one, "") if name == "--signal" else "") for one in words.split()]
    if option in TO_FILES:
        return [(FILES, "")]
    if option == "--type" and path[-2:-1] == ("event",):
        return _event_types()
    ask = _question(path, option)
    return ask(path, word) if ask is not None else []


def _question(path: Path, option: str | None) -> Callable[[Path, str], list[Candidate]] | None:
    thing = path[-2] if len(path) > 1 else path[-1] if path else ""
    if option in ("--batch",) or (thing == "batch" and option == "--name"):
        return _batches
    if option == "--execution":
        return _executions
    if option == "--requirements":
        return _tasks
    if option == "--id":
        return {"task": _tasks, "execution": _tasks, "worker": _workers}.get(thing)
    if option == "--name":
        return {"task": _task_names, "execution": _task_names, "worker": _worker_names}.get(thing)
    if option is None:
        return {"projection": _projections, "parked": _parked}.get(thing)
    return None


def _tasks(path: Path, word: str) -> list[Candidate]:
    """The newest, and those whose ids begin with what was typed."""
    asked: dict[str, Any] = {"limit": MOST, "reverse": "true"}
    if path[-1] in FOR:
        asked["status"] = FOR[path[-1]]
    rows = _get("/tasks/", asked)
    if word.isdecimal() and len(word) < 12:
        begun = [int(word), *(10 * int(word) + digit for digit in range(10))]
        rows = _get("/tasks/", asked | {"task_id": ",".join(map(str, begun))}) + rows
    return [(str(row["task_id"]), _told(row["status"], row["name"], row["command"])) for row in rows]


def _task_names(path: Path, word: str) -> list[Candidate]:
    asked = {"limit": MOST, "reverse": "true"} | ({"status": FOR[path[-1]]} if path[-1] in FOR else {})
    rows = _get("/tasks/", asked)
    return [(row["name"], _told(row["status"], row["command"])) for row in rows if row["name"]]


def _executions(path: Path, word: str) -> list[Candidate]:
    asked: dict[str, Any] = {"limit": MOST, "reverse": "true", "no_output": "true"}
    if path[-1] == "signal":
        asked["status"] = "running"
    rows = _get("/executions/", asked)
    return [(str(row["execution_id"]), _told(row["status"], f"task {row['task_id']}", row["command"])) for row in rows]


def _workers(path: Path, word: str) -> list[Candidate]:
    return [(str(row["worker_id"]), _told(row["status"], row["name"])) for row in _get("/workers/")]


def _worker_names(path: Path, word: str) -> list[Candidate]:
    return [(row["name"], _told(row["status"], f"{row['running']} running")) for row in _get("/workers/")]


def _batches(path: Path, word: str) -> list[Candidate]:
    return [(row["batch"], f"{row['tasks']} tasks, {row['running'] or 0} running") for row in _get("/batch/")]


def _projections(path: Path, word: str) -> list[Candidate]:
    return [(row["name"], f"at {row['position']}") for row in _get("/projections")]


def _parked(path: Path, word: str) -> list[Candidate]:
    if path[-1] not in ("show", "requeue", "discard"):
        return []
    return [(row["id"], str(row["reason"])[:TEXT_CHARS]) for row in _get("/bus/parked")["messages"]]


def _event_types() -> list[Candidate]:
    from scitq.domain.wire import CURRENT

    return [(name, "") for name in sorted(CURRENT)]


def _told(*parts: object) -> str:
    text = " ".join(str(part) for part in parts if part)
    return text if len(text) <= TEXT_CHARS else text[: TEXT_CHARS - 1] + "\N{HORIZONTAL ELLIPSIS}"


def _get(path: str, query: dict[str, Any] | None = None) -> Any:
    """Once, without patience; the library takes longer to load than there is time."""
    import http.client

    from scitq.config import load
    from scitq.tokens import client_token

    settings = load({})
    server, token = settings.server, client_token(settings)
    kind = http.client.HTTPSConnection if server.scheme == "https" else http.client.HTTPConnection
    connection = kind(server.host, server.port, timeout=ANSWER_S)
    try:
        headers = {} if token is None else {"Authorization": f"Bearer {token.reveal()}"}
        connection.request("GET", path + ("?" + urlencode(query) if query else ""), headers=headers)
        answer = connection.getresponse()
        content = answer.read(MOST_BYTES)
        return json.loads(content) if answer.status == 200 else []
    finally:
        connection.close()
