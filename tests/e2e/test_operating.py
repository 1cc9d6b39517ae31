"""A server in several processes is looked after: what it consists of, what it has put aside, and another beside it."""

from __future__ import annotations

import json
from pathlib import Path

import pika

from tests.services.postgres import PrivatePostgres
from tests.services.rabbitmq import PrivateRabbit
from tests.services.scitq import embedded
from tests.services.waiting import eventually


def test_two_servers_on_one_broker_are_looked_after_apart(
    tmp_path: Path, postgres: PrivatePostgres, rabbitmq: PrivateRabbit
) -> None:
    one_has = {"SCITQ_STORE": postgres.create_database(), "SCITQ_BUS": rabbitmq.url, "SCITQ_BUS_PREFIX": "one"}
    two_has = {"SCITQ_STORE": postgres.create_database(), "SCITQ_BUS": rabbitmq.url, "SCITQ_BUS_PREFIX": "two"}
    with embedded(tmp_path / "one", **one_has) as one, embedded(tmp_path / "two", **two_has) as two:
        leader, standby = one.server("engine"), one.server("engine")
        one.server("projections")
        one.server("web")
        two.server()
        ours, theirs = one.client(), two.client()

        eventually(lambda: len(ours.status()["processes"]) == 4, "all four processes were heard")
        found = ours.status()
        assert (found["ready"], found["standbys"], found["engine"]["epoch"]) == (True, 1, 1)
        pid = int(found["engine"]["holder"].rpartition(":")[2])
        assert pid in (leader.pid, standby.pid)
        (leader if pid == leader.pid else standby).kill()
        eventually(lambda: ours.status()["engine"]["epoch"] == 2, "the other one leads, and that is seen")
        eventually(lambda: (ours.status()["standbys"], len(ours.status()["processes"])) == (0, 3), "one is gone")

        one.worker(1)
        task = ours.task_create("true")["task_id"]
        assert ours.wait([task], timeout=60) == {task: "succeeded"}
        assert theirs.tasks() == [] and theirs.workers() == [] and len(theirs.status()["processes"]) == 1

        with pika.BlockingConnection(pika.URLParameters(rabbitmq.url)) as connection:
            connection.channel().basic_publish("one.in", "commands", b"nonsense")
        eventually(lambda: ours.status()["parked"] == 1, "it is put aside")
        assert theirs.parked()["count"] == 0
        (message,) = json.loads(one.machine.run("manage", "bus", "parked", "list", "--json"))["messages"]
        assert "nonsense" in one.machine.run("manage", "bus", "parked", "show", message["id"])
        assert json.loads(one.machine.run("manage", "bus", "parked", "export"))["id"] == message["id"]
        would = one.machine.run("manage", "bus", "parked", "discard", "--all", "--dry-run")
        assert would == "1 message would be discarded\n"
        assert one.machine.run("manage", "bus", "parked", "requeue", message["id"]) == "1 message put back\n"
        eventually(
            lambda: [one["id"] for one in ours.parked()["messages"]] not in ([], [message["id"]]), "refused again"
        )
        assert one.machine.run("manage", "bus", "parked", "discard", "--all") == "1 message discarded\n"
        eventually(lambda: ours.status()["alerts"] == [], "nothing is left to be looked at")
        assert "0 stand by" in one.machine.run("manage", "status")
