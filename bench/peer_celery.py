"""Celery on RabbitMQ: a prefork worker, a task that runs `true`. Executed by the interpreter of its own folder.

    python -P bench/peer_celery.py throughput '{"tasks": 5000, "slots": 4, "folder": "…", "broker": "amqp://…",
                                                "durable": true}'

With its defaults, a message is acknowledged before its task runs, and nobody confirms that the broker has it: what
is under way is lost with the worker. `durable` has it acknowledge late, and wait for the broker's confirms. No results
are kept, which is to its advantage: each task adds a byte to a file in the work folder, and the file is looked at.
"""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from celery import Celery  # type: ignore[import-not-found]

SOON_S = 300.0
given = json.loads(sys.argv[2])
folder = Path(given["folder"])
app = Celery("peer", broker=given["broker"])
app.conf.update(
    task_default_queue=f"peer-{folder.name}",
    task_ignore_result=True,
    task_acks_late=given["durable"],
    broker_transport_options={"confirm_publish": given["durable"]},
    broker_connection_retry_on_startup=True,
    worker_send_task_events=False,
)


@app.task(name="run")  # type: ignore[untyped-decorator, unused-ignore]
def run() -> None:
    subprocess.run(["true"], check=True)
    done = os.open(folder / "done", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(done, b".")
    os.close(done)


def throughput(tasks: int, slots: int) -> dict[str, float]:
    with _worker(slots):
        begin = time.perf_counter()
        for _ in range(tasks):
            run.delay()
        _until(2 * slots + tasks)
        return {"tasks/s": tasks / (time.perf_counter() - begin)}


def latency(tasks: int, slots: int) -> dict[str, float]:
    spent = []
    with _worker(slots):
        for number in range(tasks):
            begin = time.perf_counter()
            run.delay()
            _until(2 * slots + number + 1)
            spent.append(1e3 * (time.perf_counter() - begin))
    return {"ms": statistics.median(spent)}


def submit(tasks: int, slots: int) -> dict[str, float]:
    """With nobody to run them: they are in the broker."""
    begin = time.perf_counter()
    for _ in range(tasks):
        run.delay()
    return {"tasks/s": tasks / (time.perf_counter() - begin)}


@contextmanager
def _worker(slots: int) -> Iterator[None]:
    """It has run some tasks already."""
    command = [sys.executable, "-P", __file__, "worker", sys.argv[2]]
    with (folder / "worker.log").open("wb") as log:
        worker = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    try:
        for _ in range(2 * slots):
            run.delay()
        _until(2 * slots)
        yield
    finally:
        worker.terminate()
        try:
            worker.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(worker.pid, signal.SIGKILL)
            worker.wait()


def _until(done: int) -> None:
    file, limit = folder / "done", time.monotonic() + SOON_S
    while not file.exists() or file.stat().st_size < done:
        if time.monotonic() > limit:
            raise SystemExit(f"not done within {SOON_S} s: {(folder / 'worker.log').read_text()[-500:]}")
        time.sleep(0.0005)


if __name__ == "__main__":
    folder.mkdir(parents=True, exist_ok=True)
    if sys.argv[1] == "worker":
        app.worker_main(["worker", "-P", "prefork", "-c", str(given["slots"]), "--without-gossip", "--without-mingle"])
    else:
        measure = {"throughput": throughput, "latency": latency, "submit": submit}[sys.argv[1]]
        print(json.dumps(measure(given["tasks"], given["slots"])))
        with app.connection_for_write() as connection:
            connection.default_channel.queue_delete(app.conf.task_default_queue)
