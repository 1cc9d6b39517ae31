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
from scitq.lib.calling import Handle
from scitq.lib.server import AsyncServer, Sender, Server
from scitq.lib.things import Batch, Execution, Task, Worker

HTTPException = ServerError
"""The name of programs written for scitq 1."""

__all__ = [
    "AsyncServer",
    "Batch",
    "Busy",
    "Execution",
    "HTTPException",
    "Handle",
    "NotAllowed",
    "NotFound",
    "NotSent",
    "PartlyDone",
    "QueueFull",
    "ScitqError",
    "Sender",
    "Server",
    "ServerError",
    "Task",
    "TasksFailed",
    "Unreachable",
    "Worker",
]
