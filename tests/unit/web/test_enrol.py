"""A machine that was invited becomes a worker, and nothing but that."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from scitq.credentials import LONGEST_S, Credentials, WorkerCredential
from tests.unit.web.site import TOKEN, Site, running
from tests.unit.web.test_gateway import HELLO, Engine, agent, closed


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with running(tmp_path_factory.mktemp("site")) as site:
        yield site


def post(site: Site, path: str, body: Any = None, token: str | None = TOKEN) -> httpx.Response:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    return httpx.post(site.url + path, json=body, headers=headers, trust_env=False, timeout=20)


def invitation(site: Site) -> str:
    text: str = post(site, "/workers/invite", {}).json()["invitation"]
    return text


def test_an_invited_machine_becomes_the_worker_it_wants_to_be(site: Site) -> None:
    answer = post(site, "/workers/enrol", {"name": "node"}, invitation(site))
    assert (answer.status_code, answer.json()["name"]) == (201, "node")
    credential = answer.json()["credential"]
    assert Credentials(site.token).read(credential, 0) == WorkerCredential("node")
    with Engine(site.bus) as engine, agent(site, credential) as one:
        one.send(HELLO, text=True)
        assert engine.one().message.headers["name"] == "node"


def test_it_becomes_no_other(site: Site) -> None:
    credential = post(site, "/workers/enrol", {"name": "other"}, invitation(site)).json()["credential"]
    with agent(site, credential) as one:
        one.send(HELLO, text=True)
        assert closed(one)[0] == 1008


def test_an_invitation_says_until_when_it_holds(site: Site) -> None:
    answer = post(site, "/workers/invite", {"ttl_s": 600})
    assert answer.status_code == 201
    left = datetime.fromisoformat(answer.json()["expires"]).replace(tzinfo=UTC).timestamp() - time.time()
    assert 500 < left <= 600


def test_an_invitation_that_has_expired_is_told_so(site: Site) -> None:
    old = Credentials(site.token).invitation(60, int(time.time()) - 7_300)
    answer = post(site, "/workers/enrol", {"name": "node"}, old)
    assert answer.status_code == 401
    assert "expired 2 hours ago" in answer.json()["message"]


def test_nobody_is_invited_but_by_whom_the_server_belongs_to(site: Site) -> None:
    worker = Credentials(site.token).for_worker("node")
    for token in (None, "wrong-token-wrong-token", worker, invitation(site)):
        assert post(site, "/workers/invite", {}, token).status_code == 401


def test_nobody_enrols_without_an_invitation(site: Site) -> None:
    worker = Credentials(site.token).for_worker("node")
    forged = Credentials(site.token).invitation(60, int(time.time()))[:-1] + "_"
    for token in (None, "wrong-token-wrong-token", worker, forged):
        assert post(site, "/workers/enrol", {"name": "node"}, token).status_code == 401


@pytest.mark.parametrize("right", ["invitation", "credential"])
def test_neither_right_opens_anything_else(site: Site, right: str) -> None:
    token = invitation(site) if right == "invitation" else Credentials(site.token).for_worker("node")
    answer = httpx.get(f"{site.url}/events", headers={"Authorization": f"Bearer {token}"}, trust_env=False)
    assert answer.status_code == 401


@pytest.mark.parametrize("ttl_s", [0, -1, LONGEST_S + 1, 1.5, "soon", None, [], True, 2**80])
def test_an_invitation_lasts_a_sensible_time(site: Site, ttl_s: Any) -> None:
    answer = post(site, "/workers/invite", {"ttl_s": ttl_s})
    assert (answer.status_code, "ttl_s" in answer.json()["errors"]) == (400, True)


@pytest.mark.parametrize("name", ["", " node", "node\n", "a\x00b", "\x1b[2J", "n" * 301, "é" * 200, 7, None, ["node"]])
def test_a_worker_has_a_name_that_people_can_read(site: Site, name: Any) -> None:
    answer = post(site, "/workers/enrol", {"name": name}, invitation(site))
    assert (answer.status_code, "name" in answer.json()["errors"]) == (400, True)


def test_a_server_that_asks_for_no_token_lets_workers_in_as_they_are(tmp_path: Path) -> None:
    with running(tmp_path, auth="none") as site, Engine(site.bus) as engine, agent(site, "") as one:
        one.send(HELLO, text=True)
        assert "name" not in engine.one().message.headers
