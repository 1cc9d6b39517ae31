"""scitq from Python: `Server()` talks to a server, finds its address and token as the command line does.

from scitq.lib import Server

with Server() as server:
    ids = server.tasks_create({"command": f"gzip -9 {name}"} for name in names)
    print(server.wait(ids))
"""

from scitq.errors import (
    Busy,
    NotAllowed,
    NotFound,
    NotSent,
    PartlyDone,
    QueueFull,
    ScitqError,
    ServerError,
    TasksFailed,
    Unreachable,
)
from scitq.lib.server import AsyncServer, Server
from scitq.lib.things import Batch, Execution, Task, Worker

HTTPException = ServerError
"""The name of programs written for scitq 1."""

__all__ = [
    "AsyncServer",
    "Batch",
    "Busy",
    "Execution",
    "HTTPException",
    "NotAllowed",
    "NotFound",
    "NotSent",
    "PartlyDone",
    "QueueFull",
    "ScitqError",
    "Server",
    "ServerError",
    "Task",
    "TasksFailed",
    "Unreachable",
    "Worker",
]
