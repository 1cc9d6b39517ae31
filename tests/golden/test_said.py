"""What was ever said between agents and servers is understood today, and means what it meant.

When something new is said, `python -m tests.golden.said` adds a line for it; lines that are there stay as they are.
"""

from __future__ import annotations

from typing import Any, get_args

import orjson
import pytest

from scitq.config.values import Token
from scitq.credentials import Credentials, Invitation, WorkerCredential
from scitq.domain import agent_wire
from scitq.domain.execution import Report
from tests.golden import said

FILES = sorted(said.FOLDER.glob("*.jsonl"))
ALL = [line for path in FILES for line in said.lines(path)]


def test_there_is_a_golden_file() -> None:
    assert said.TODAY in FILES


@pytest.mark.parametrize("line", ALL, ids=lambda line: f"{line['way']} {line['bytes'][:60]}")
def test_what_was_said_means_what_it_meant(line: dict[str, Any]) -> None:
    assert_holds(line["means"], said.meaning(line["way"], said.spoken(line)))


def assert_holds(then: Any, now: Any, where: str = "") -> None:
    """All that was understood then is understood now; what was added since has come to its default."""
    if isinstance(then, dict):
        assert isinstance(now, dict) and then.keys() <= now.keys(), where
        for name, value in then.items():
            assert_holds(value, now[name], f"{where}.{name}")
    elif isinstance(then, list):
        assert isinstance(now, list) and len(now) == len(then), where
        for number, value in enumerate(then):
            assert_holds(value, now[number], f"{where}[{number}]")
    else:
        assert now == then, where


def test_all_that_is_said_today_is_in_a_line() -> None:
    known = [{"way": line["way"], "bytes": line["bytes"]} for line in ALL]
    missing = [line for line in (said.written(*one) for one in said.said_today()) if line not in known]
    assert not missing, "python -m tests.golden.said"


def test_every_kind_of_message_is_said_today() -> None:
    assert {type(message) for message in said.TO_AGENT} == set(agent_wire.TO_AGENT.values())
    kinds = {orjson.loads(words)["type"] for way, words in said.said_today() if way == "from-agent"}
    assert kinds == {"hello", "heartbeat", "reports", "goodbye", "telemetry"}
    reports = {type(report) for message in said.FROM_AGENT for report in getattr(message, "reports", ())}
    assert reports == set(get_args(Report))


# What a machine keeps for years: the credential that it was given when it enrolled.
WORKER = "scitq1.w.bm9kZTc.4phURVrURabmsGlHSSe67FKGgIG-DlMf6HB-UF2dfbE"
INVITATION = "scitq1.i.AAAAAGtJ4BA.mPSUTjPX-zZgrUZPHo5Y84yrSM4FLT0eDFovEk9kJ2Y"


def test_a_credential_that_was_given_once_is_good_for_ever() -> None:
    credentials = Credentials(Token("a-token-for-the-tests"))
    assert credentials.read(WORKER, 1_800_000_000) == WorkerCredential("node7")
    assert credentials.read(INVITATION, 1_800_000_000) == Invitation(1_800_000_000 + 3_600)


def test_no_line_is_said_twice() -> None:
    assert len({(line["way"], line["bytes"]) for line in ALL}) == len(ALL)
