"""A cluster of brokers: the one that leads the queues is killed -9 in the middle of the work, and nothing is lost.

Three brokers on two cores take half a minute to come up: this is part of the campaign (SCITQ_CAMPAIGN=20).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.services.buses import AMONG, Traffic, opened
from tests.services.postgres import PrivatePostgres
from tests.services.rabbit_cluster import RabbitCluster
from tests.services.scitq import embedded
from tests.services.waiting import eventually

pytestmark = pytest.mark.skipif("SCITQ_CAMPAIGN" not in os.environ, reason="part of the campaign: SCITQ_CAMPAIGN=20")
ROUNDS = 3


@pytest.fixture(scope="module")
def cluster() -> Iterator[RabbitCluster]:
    with RabbitCluster() as cluster:
        yield cluster


def test_the_leader_of_the_queues_is_killed_and_what_was_accepted_arrives(cluster: RabbitCluster) -> None:
    with opened(*cluster.urls, prefix="killed") as bus, bus.follow("events") as events, bus.mailbox() as box:
        box.bind("worker.7.abc")
        with Traffic(bus) as traffic:
            for _ in range(ROUNDS):
                traffic.go_on_for(AMONG)
                leader = cluster.leader("killed.reports")
                leader.kill()
                traffic.go_on_for(5 * AMONG)
                eventually(lambda: bus.trouble is None, "both connections are to brokers that live")
                leader.start()
                traffic.go_on_for(AMONG)
            traffic.end()

        def heard() -> bool:
            bus.publish("events", b"after")
            bus.post("worker.7.abc", b"after")
            return bool(events.take(9, 0.2) and box.take(9, 0.2))

        eventually(heard, "what is published and posted arrives")


def test_a_node_that_refuses_is_passed_over(cluster: RabbitCluster) -> None:
    dead, *alive = cluster.nodes
    dead.kill()
    try:
        for _ in range(5):  # which address is tried first is chance
            with opened(*cluster.urls, prefix="passed") as bus, bus.consume("reports") as consumer:
                bus.send("reports", b"x")
                (found,) = consumer.take(9, 30)
                consumer.done([found.token])
    finally:
        dead.start()
    assert all(node.running for node in alive)


def test_tasks_go_on_while_the_leader_of_the_queues_is_killed(
    cluster: RabbitCluster, postgres: PrivatePostgres, tmp_path: Path
) -> None:
    effects = tmp_path / "effects"
    effects.mkdir()
    shared = {"SCITQ_STORE": postgres.create_database(), "SCITQ_BUS": ",".join(cluster.urls)}
    with embedded(tmp_path / "home", **shared) as system:
        for role in ("engine", "projections", "web"):
            system.server(role)
        client = system.client()
        system.worker(4)
        tasks: list[int] = []
        for round_ in range(ROUNDS):
            commands = [f"sleep 0.05; echo done >> {effects}/{round_}-{number}" for number in range(60)]
            tasks += client.tasks_create({"command": command, "shell": True} for command in commands)
            eventually(lambda count=round_: len(list(effects.iterdir())) > 60 * count, "the work goes on")  # type: ignore[misc]
            leader = cluster.leader("scitq.reports")
            leader.kill()
            eventually(lambda count=round_: len(list(effects.iterdir())) > 60 * count + 30, "it goes on without it")  # type: ignore[misc]
            leader.start()
        assert set(client.wait(tasks, timeout=300).values()) == {"succeeded"}
        assert {file.read_text() for file in effects.iterdir()} == {"done\n"}
        assert len(list(effects.iterdir())) == len(tasks)
