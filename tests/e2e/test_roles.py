"""The server as several processes on RabbitMQ and PostgreSQL: each can be killed, and a second engine stands by."""

from __future__ import annotations

from pathlib import Path

from tests.services.postgres import PrivatePostgres
from tests.services.rabbitmq import PrivateRabbit
from tests.services.scitq import embedded
from tests.services.waiting import eventually


def settings(postgres: PrivatePostgres, rabbitmq: PrivateRabbit) -> dict[str, str]:
    return {"SCITQ_STORE": postgres.create_database(), "SCITQ_BUS": rabbitmq.url}


def test_a_task_goes_through_processes_of_their_own(
    tmp_path: Path, postgres: PrivatePostgres, doomed_rabbitmq: PrivateRabbit
) -> None:
    with embedded(tmp_path, **settings(postgres, doomed_rabbitmq)) as system:
        for role in ("engine", "projections", "web"):
            system.server(role)
        client = system.client()
        system.worker(2)
        tasks = client.tasks_create({"command": f"echo {number}"} for number in range(50))
        assert set(client.wait(tasks, timeout=120).values()) == {"succeeded"}
        printed = [f"{number}\n" for number in range(50)]
        eventually(
            lambda: [one["output"] for one in client.executions(task_id=tasks)] == printed,
            "the output is there: it comes on a way of its own, perhaps a moment after the end",
        )
        client.projection_rebuild("tasks")
        system.machine.run("manage", "projection", "check")


def test_a_stand_by_engine_takes_over_and_every_part_can_be_killed(
    tmp_path: Path, postgres: PrivatePostgres, doomed_rabbitmq: PrivateRabbit
) -> None:
    effects = tmp_path / "effects"
    effects.mkdir()
    with embedded(tmp_path / "home", **settings(postgres, doomed_rabbitmq)) as system:
        engines = [system.server("engine"), system.server("engine")]
        projections, web = system.server("projections"), system.server("web")
        client = system.client()
        system.worker(4)
        tasks: list[int] = []
        for number, victim in enumerate((engines[0], engines[1], projections, web)):
            tasks += submitted(client, effects, number)
            eventually(lambda count=number: len(list(effects.iterdir())) > 40 * count, "the work goes on")  # type: ignore[misc]
            victim.kill()
            if victim in engines:
                engines[number] = system.server("engine")
            else:
                system.server("projections" if victim is projections else "web")
        eventually(client.ready, "the server is ready again")
        assert set(client.wait(tasks, timeout=180).values()) == {"succeeded"}
        for file in effects.iterdir():
            assert file.read_text() == "done\n", f"{file.name} had its effect once"
        assert len(list(effects.iterdir())) == len(tasks)
        system.machine.run("manage", "event", "verify")


def submitted(client: object, effects: Path, round_: int) -> list[int]:
    commands = [f"sleep 0.05; echo done >> {effects}/{round_}-{number}" for number in range(40)]
    found: list[int] = client.tasks_create({"command": command, "shell": True} for command in commands)  # type: ignore[attr-defined]
    return found


def test_a_server_that_starts_before_its_broker_and_database_waits_for_them(
    tmp_path: Path, doomed_postgres: PrivatePostgres, doomed_rabbitmq: PrivateRabbit
) -> None:
    given = settings(doomed_postgres, doomed_rabbitmq)
    doomed_postgres.kill()
    doomed_rabbitmq.kill()
    with embedded(tmp_path, **given) as system:
        server = system.server()
        eventually(lambda: "waits for its store" in server.said(), "it says that it waits for the database")
        doomed_postgres.start()
        eventually(lambda: "the broker is away" in server.said(), "it says that it waits for the broker")
        doomed_rabbitmq.start()
        client = system.client()
        system.worker(1)
        task = client.task_create("true")["task_id"]
        assert client.wait([task], timeout=60) == {task: "succeeded"}
        said = server.said()
        assert "Traceback" not in said and "secret" not in said


def test_roles_without_a_broker_are_refused(tmp_path: Path) -> None:
    with embedded(tmp_path) as system:
        process = system.server("engine")
        assert process.wait() == 1
        assert "roles need a broker" in process.said()
