"""What a user may write with the library: every public name once, as type checkers are to see it. It is never run."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import aclosing, closing
from typing import Any, assert_type

from scitq.lib import (
    AsyncServer,
    Batch,
    Busy,
    Execution,
    Handle,
    HTTPException,
    NotAllowed,
    NotFound,
    NotSent,
    PartlyDone,
    QueueFull,
    ScitqError,
    Sender,
    Server,
    ServerError,
    Task,
    TasksFailed,
    Unreachable,
    Worker,
)


def with_dicts(samples: list[str]) -> None:
    with Server("host", get_timeout=10, put_timeout=None, patience_s=2.5, asynchronous=False) as server:
        assert_type(server, Server[dict[str, Any]])
        task = server.task_create("gzip a", name="a", batch="b", shell=True, retry=2, required_task_ids=[1])
        assert_type(task, dict[str, Any])
        ids = server.tasks_create(({"command": f"gzip {one}"} for one in samples), progress=print)
        assert_type(ids, list[int])
        assert_type(server.tasks(batch="b", status=["failed"], q="name~a"), list[dict[str, Any]])
        for row in server.iter_tasks(batch="b"):
            assert_type(row, dict[str, Any])
        server.task_update(ids[0], status="paused", priority=3)
        assert_type(server.task_get(task)["command"], Any)
        assert_type(server.task_status(ids), list[str])
        assert_type(server.tasks_action("relaunch", ids), dict[int, str])
        server.task_delete(ids[0])
        assert_type(server.wait(ids, timeout=5, on_progress=told), dict[int, str])
        assert_type(server.join(ids, retry=2, check=True, timeout=60.0), dict[str, int])
        with closing(server.events(since=17, stream="task-1", type="task-*", timeout=5)) as events:
            for event in events:
                assert_type(event, dict[str, Any])
        assert_type(b"".join(server.output(3, "stderr", follow=True)), bytes)
        server.execution_signal(3, 15)
        server.execution_output(3, output=True, output_position=10)
        server.execution_live(3)
        server.worker_update(1, concurrency=4, batches=["a", "b"])
        server.worker_create_signal(1, 3, 9)
        server.worker_delete(1)
        assert_type(server.worker_invite(ttl_s=60), str)
        server.workers_tasks()
        server.batch_stop("b", signal=9)
        server.batch_go("b")
        server.batch_delete("b")
        assert_type(server.status(), dict[str, Any])
        server.projections()
        server.projection_rebuild("tasks")
        server.parked(limit=5, queue="q", newest=True)
        server.parked_message("id")
        for message in server.parked_export():
            assert_type(message, dict[str, Any])
        server.parked_requeue(["id"], dry_run=True)
        server.parked_discard(queue="q")
        print(server.get("/tasks/", batch="b"), server.put("/x", {}), server.post("/x", {}), server.delete("/x"))
        assert_type(server.ready(), bool)
        assert_type((server.position, server.get_timeout, server.put_timeout), tuple[int, float | None, float | None])
        assert_type(server.within(5), Server[dict[str, Any]])
    server.close()


def told(statuses: Mapping[int, str]) -> None:
    print(len(statuses))


def with_objects() -> Execution:
    server = Server(style="object")
    assert_type(server, Server[Task, Worker, Execution, Batch])
    assert_type(server.task_get(1).required_task_ids, list[int])
    assert_type(server.workers()[0], Worker)
    assert_type(server.worker_get(1).batches, list[str])
    assert_type(server.executions(task_id=1)[0].return_code, int | None)
    assert_type(server.worker_executions(1, "running"), list[Execution])
    assert_type(next(server.iter_executions()), Execution)
    assert_type(server.batches()[0].tasks, int)
    return server.execution_get(1)


def in_the_background(server: Server) -> None:
    with server.background("spool", most_bytes=10**6, wait_s=1.0) as sender:
        assert_type(sender, Sender[dict[str, Any]])
        handle = sender.task_create("gzip a")
        assert_type(handle, Handle[dict[str, Any]])
        assert_type(handle.result(5), dict[str, Any])
        assert_type(sender.tasks_create([{"command": "a"}]).result(), list[int])
        print(handle.key, handle.done(), handle.cancel(), sender.waiting)
        sender.flush(timeout=60)
    sender.close(timeout=None)


async def in_a_loop() -> None:
    async with AsyncServer("host", style="object") as server:
        assert_type(server, AsyncServer[Task, Worker, Execution, Batch])
        task = await server.task_create("gzip a")
        assert_type(task, Task)
        both = await asyncio.gather(server.task_get(1), server.task_get(2))
        assert_type(both, tuple[Task, Task])
        assert_type(await server.batches(), list[Batch])
        async with aclosing(server.events(follow=False)) as events:
            async for event in events:
                assert_type(event, dict[str, Any])
        with server.background() as sender:
            assert_type(await sender.task_update(task, status="paused"), Task)
        await server.close()


def with_errors(server: Server) -> int | None:
    try:
        server.join([1], check=True)
    except (NotAllowed, NotFound, Busy, ServerError, HTTPException) as refused:
        return refused.status if refused.retryable else refused.status_code
    except PartlyDone as partly:
        return len(partly.task_ids)
    except TasksFailed as failed:
        return len(failed.statuses)
    except NotSent as lost:
        return lost.count
    except (Unreachable, QueueFull, ScitqError) as error:
        print(error.retryable)
    return None
