"""The documentation taken at its word: requests made from it, right and wrong ones, against a whole server.

Whatever is sent, there is no 5xx; every answer is one that is documented, in the form that is documented; and a request
that is refused has written nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.generation.case import Case as AnyCase
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from scitq.web.app import all_routes
from scitq.web.openapi import document
from tests.unit.web.whole import BEARER, Whole, whole

EXAMPLES: Final = 100
DOCUMENT: Final = document(all_routes(), "0-test")
SCHEMA: Final = schemathesis.openapi.from_dict(DOCUMENT)
OPERATIONS: Final[list[Any]] = [found.ok() for found in SCHEMA.get_all_operations()]  # type: ignore[union-attr]
CHECKS: Final = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
Operation = Any
Case = AnyCase[Any]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Whole]:
    """With tasks, executions and workers of every kind, under the ids that are tried first."""
    with whole(tmp_path_factory.mktemp("store")) as started:
        done, failed, running, given_ = (started.task() for _ in range(4))
        started.task(status="paused", required_task_ids=[running])
        agent = started.agent(prefetch=1)
        agent.succeed(done)
        agent.fail(failed)
        agent.start(running)
        agent.given(given_)
        started.delete(f"/tasks/{started.task()}")
        started.shown()
        started.services.freshness.wait_s = 0.01  # positions that never come are asked for again and again
        yield started


def cases(operation: Operation) -> st.SearchStrategy[Case]:
    """Right and wrong requests, and often about something that exists."""
    modes = [operation.as_strategy(generation_mode=mode) for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)]

    def of_existing(case: Case, id: int | None) -> Case:
        if id is not None:
            for name in list(case.path_parameters or ()):
                if name.endswith("_id"):
                    case.path_parameters[name] = id
        return case

    return st.builds(of_existing, st.one_of(modes), st.one_of(st.none(), st.integers(1, 8)))


def send(server: Whole, case: Case) -> httpx.Response:
    about = case.as_transport_kwargs(base_url="http://127.0.0.1:5000", headers=BEARER)
    about.pop("cookies", None)
    content = about.pop("data", None)
    if isinstance(content, str | bytes | None):
        about["content"] = content
    else:
        about["content"] = b"".join(part if isinstance(part, bytes) else str(part).encode() for part in content)
    headers = [
        (name.encode(), str(value).encode("utf-8", "surrogatepass")) for name, value in about.pop("headers").items()
    ]
    method, url = about.pop("method"), about.pop("url")
    about = {
        name: value
        for name, value in about.items()
        if name in ("json", "params", "content", "files") and value is not None
    }
    return server.wait(_sent(server, method, url, headers, about))


async def _sent(
    server: Whole, method: str, url: str, headers: list[tuple[bytes, bytes]], about: dict[str, Any]
) -> httpx.Response:
    transport = httpx.ASGITransport(server.app)
    async with httpx.AsyncClient(transport=transport, timeout=20) as client:
        request = client.build_request(method, url, headers=headers, **about)
        return await client.send(request)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda one: str(one.label))
def test_the_server_does_as_it_is_documented(server: Whole, operation: Operation) -> None:
    @settings(
        max_examples=EXAMPLES, deadline=None, database=None, derandomize=True,
        phases=[Phase.explicit, Phase.generate], suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(cases(operation))
    def story(case: Case) -> None:
        if (case.query or {}).get("follow"):
            return  # it goes on until the execution ends: see test_outputs.py
        before = server.position
        try:
            answer = send(server, case)
        except httpx.InvalidURL:
            return  # it cannot even be sent
        case.validate_response(answer, checks=CHECKS)
        if answer.status_code >= 400:
            assert server.position == before, f"{answer.status_code}, and yet something was written"

    story()
