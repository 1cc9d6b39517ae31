"""What each field of a form means, said once: a name means the same in all forms, or has a line for one of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

FIELDS: Final[Mapping[str, str]] = {
    # Which part of a list
    "after": "only what comes behind this id, or this position",
    "limit": "so many at most: a page",
    "reverse": "downwards, from the newest",
    "newest": "from the newest on",
    # Which things
    "q": "a query as people type it: `status:failed batch:x* since:2h`",
    "task_id": "these tasks",
    "execution_id": "these executions",
    "worker_id": "these workers, or executions of theirs",
    "task_ids": "of these tasks",
    "status": "those that stand so",
    "batch": "those of these batches",
    "name": "those of these names",
    "task_name": "of tasks of these names",
    "latest": "only the latest of its task, or only those that are not",
    # A task
    "command": "the command line; a shell reads it only where it names one",
    "input": "URIs of what is fetched before it runs, separated by spaces",
    "output": "the URI to which what it leaves in $OUTPUT is sent",
    "container": "the image of the container in which it runs",
    "container_options": "more options for docker",
    "resource": "URIs of what the tasks of a worker share, separated by spaces",
    "required_task_ids": "tasks that must have succeeded before",
    "retry": "how often it is tried again when it fails",
    "download_timeout": "seconds that fetching its inputs may take",
    "run_timeout": "seconds that it may run",
    "silence_timeout": "seconds that it may print nothing",
    "use_cache": "take the result of the same task before it",
    "priority": "those with a higher number run first, within a batch",
    "user": "as whom it runs: UID or UID:GID, numbers or names that the worker knows",
    "tasks": "the tasks, in order",
    "action": "what is done to them",
    # A worker
    "concurrency": "how many tasks it runs at a time",
    "prefetch": "how many it holds ready beside those",
    "batches": "the batches that it serves",
    "signal": "the number of a Unix signal",
    "ttl_s": "seconds for which it can be used",
    "protocols": "what the agent speaks, the best first",
    # Output
    "no_output": "leave the outputs away",
    "trunc": "only so many characters, from the end of each output",
    "tail": "only so many bytes, from the end",
    "lines": "only so many lines, from the end",
    "offset": "from this byte on",
    "follow": "go on until the execution has ended",
    "error": "whether what it printed as error is wanted",
    "output_position": "from this character on; the first is 1",
    "error_position": "from this character on; the first is 1",
    "data": "the same, wrapped: so old clients ask",
    # Events
    "stream": "only those of this stream, such as task-7",
    "type": "only those of this type; task-* means all that begin so",
    "brief": "live: only up to where there is something new",
    # Messages put aside
    "queue": "only those from this queue",
    "ids": "these messages",
    "all": "all of them",
    "dry_run": "only tell what would be done",
    # Where a name means something of its own
    "NewTask.name": "a name to find it by",
    "NewTask.batch": "its batch; Default unless one is given",
    "NewTask.status": "paused holds it; a task waits by itself for what it requires",
    "Changes.name": "another name",
    "Changes.batch": "another batch; of a worker, what it serves, with commas",
    "Changes.status": "pending relaunches, resumes or releases, paused holds; of a worker, running or paused",
    "Enrol.name": "the name of the worker",
    "Speak.name": "the name of the worker",
    "Signal.execution_id": "the execution that gets it",
    "Part.output": "whether what it printed is wanted",
    "OldPart.output": "whether what it printed is wanted",
}


def of_field(form: str, field: str) -> str | None:
    """`form`: its class."""
    return FIELDS.get(f"{form}.{field}") or FIELDS.get(field)
