"""An execution ends in the log, what it printed comes another way: whoever reads that it ended reads all it printed."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from scitq.bus import Bus
from scitq.bus.local import LocalBus
from scitq.web import executions, outputs
from tests.contract.test_bus import rabbit_bus
from tests.services.waiting import eventually
from tests.unit.web import site as sites
from tests.unit.web.site import Site, running

READ = (
    ("/executions/{}/stdout", "begin end"),
    ("/executions/{}/stdout?tail=3", "end"),
    ("/executions/{}/output?error=false", '{"output":"begin end","error":null}'),
    ("/executions/{}", '"output":"begin end"'),
    ("/executions/?execution_id={}", '"output":"begin end"'),
    ("/executions/?task_id={}", '"output":"begin end"'),
)


@pytest.fixture(params=["local", "rabbitmq"])
def site(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    bus: Bus = LocalBus() if request.param == "local" else rabbit_bus(request)
    monkeypatch.setattr(sites, "START", time.time_ns() // 1000)
    monkeypatch.setattr(sites, "MODULES", (*sites.MODULES, executions))
    with running(tmp_path, bus=bus) as site:
        yield site


def test_what_is_on_its_way_is_waited_for(site: Site) -> None:
    with site.client() as client:
        site.ended(site.execution(99))
        site.shown()
        client.get("/executions/99/stdout?follow=true")
        watch = site.services.part(outputs.OutputWatch)
        for id, (path, text) in enumerate(READ, 1):
            site.print(site.execution(id), b"begin ")
            site.ended(id, 9)
            site.shown()
            got: list[httpx.Response] = []
            reader = threading.Thread(target=lambda path=path, id=id, got=got: got.append(client.get(path.format(id))))
            reader.start()
            eventually(lambda id=id: id in watch.bells)  # type: ignore[misc]
            site.print(id, b"end")
            reader.join(20)
            assert text in got[0].text, path
            assert "X-Scitq-Missing" not in got[0].headers


def test_what_does_not_come_is_told(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outputs, "LATE_S", 0.2)
    site.print(site.execution(1), b"begin ")
    site.ended(1, 9, 4)
    site.shown()
    with site.client() as client:
        answers = [client.get(f"/executions/1/{kind}") for kind in ("stdout", "stderr", "output")]
        lives = client.get(f"/executions/{site.execution(2)}/stdout")
    assert [answer.headers.get("X-Scitq-Missing") for answer in (*answers, lives)] == ["3", "4", "7", None]
    assert answers[0].text == "begin "
