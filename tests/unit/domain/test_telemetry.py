"""Telemetry comes from anybody's machine: what is too much, or makes no sense, is refused in words."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from scitq.domain.agent_wire import parse_from_agent
from scitq.domain.speaker import Speaker
from scitq.domain.telemetry import Telemetry
from scitq.errors import Malformed

HEAD = {"type": "telemetry", "worker": 3, "incarnation": "i"}
MACHINE = {"load": "1.0 / 0.0", "memory": 50.0, "stats": "{}"}


@pytest.mark.parametrize(
    "said",
    [
        {"machine": {**MACHINE, "memory": 101.0}},
        {"machine": {**MACHINE, "stats": "x" * 20_001}},
        {"machine": {**MACHINE, "load": 5}},
        {"executions": [{"execution": 0}]},
        {"executions": [{"execution": 2**60}]},
        {"executions": [{"execution": 1}] * 201},
        {"executions": [{"execution": 1, "curve": [[1.0, 1.0, 1, 1, 1]] * 241}]},
        {"executions": [{"execution": 1, "curve": [[1.0, -1.0, 1, 1, 1]]}]},
        {"executions": [{"execution": 1, "curve": [[1.0, 1.0]]}]},
        {"executions": [{"execution": 1, "transfer": {"what": "stealing"}}]},
        {"executions": [{"execution": 1, "transfer": {"what": "downloading", "done_bytes": -1}}]},
        {
            "executions": [
                {"execution": 1, "transfer": {"what": "uploading", "files": [{"name": "\0", "done_bytes": 0}]}}
            ]
        },
    ],
)
def test_what_makes_no_sense_is_refused(said: dict[str, Any]) -> None:
    with pytest.raises(Malformed):
        parse_from_agent(orjson.dumps({**HEAD, **said}))


def test_nan_is_no_number() -> None:
    with pytest.raises(Malformed):
        parse_from_agent(
            b'{"type":"telemetry","worker":3,"incarnation":"i","machine":{"load":"","memory":NaN,"stats":""}}'
        )


def test_a_newer_agent_may_say_more() -> None:
    said = {**HEAD, "gpus": 4, "machine": {**MACHINE, "gpu": 1.0}, "executions": [{"execution": 1, "gpu": 1}]}
    heard = parse_from_agent(orjson.dumps(said))
    assert isinstance(heard, Telemetry) and heard.machine is not None and len(heard.executions) == 1


def test_nobody_tells_of_another_workers_moment() -> None:
    heard = parse_from_agent(orjson.dumps({**HEAD, "machine": MACHINE}))
    Speaker("w", lambda name: True, lambda worker, incarnation: (worker, incarnation) == (3, "i")).check(heard)
    with pytest.raises(Malformed, match="has not its place"):
        Speaker("w", lambda name: True, lambda worker, incarnation: worker == 4).check(heard)
