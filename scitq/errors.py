"""Every error scitq raises on purpose.

ScitqError
├── Rejected              a command that is impossible; its text is for the user
│   ├── NothingFound      what it was to be done to is not there
│   └── NotHere           this worker cannot run that task, and another one may
├── Malformed             a message, an event or a setting that cannot be understood
│   ├── UnknownEvent      an event of a type or version this release does not know
│   └── UnknownMessage    a message of a kind that only a newer agent knows
├── Unreachable           a server does not answer
├── ServerError           a server answered that it will not, or cannot
│   ├── NotAllowed        what was sent with the request does not give the right to it
│   ├── NotFound          there is no such thing, or none any more
│   └── Busy              it cannot now; trying again may help
├── QueueFull             as many requests wait to be sent in the background as may
├── NotSent               what was to be sent in the background was not, or nobody knows
├── PartlyDone            of many tasks, some were created and then something failed
├── TasksFailed           of the tasks that were waited for, some failed
├── BioException          samples cannot be told: no such project, no such files, no clear layout
├── AgentError            the machine of an agent did not do as it was asked
│   ├── FolderInUse       another agent works in the folder
│   ├── OtherLog          what an agent holds is of another server's log
│   ├── DiskFull          nothing was written: no space is left
│   ├── Damaged           what is in a file of the agent is not what was written
│   ├── ShimUnavailable   the shim cannot be started or does not answer
│   ├── EngineUnavailable docker or podman is missing or does not answer
│   └── ImageUnavailable  an image cannot be had
├── BusUnavailable        nothing was sent: the bus is full or out of reach; try again
└── StoreError            the event store did not do as it was asked
    ├── LeaseLost         another engine holds the lease; this one must exit
    ├── OutcomeUnknown    the answer to a commit was lost: it may have happened
    ├── StoreUnavailable  nothing was written; try again later
    │   └── StoreFull     nothing was written: no space is left
    ├── VersionConflict   a stream is not at the version that was expected
    ├── SchemaMismatch    the database is not at the schema this release needs
    └── Corrupt           what is stored is not what was written
"""


class ScitqError(Exception):
    """Root of the tree: catching it catches every error scitq raises on purpose."""

    retryable: bool = False
    """The same again may succeed, later and without anybody doing anything about it."""


class Rejected(ScitqError):
    """A command that is impossible as things stand. The text is a sentence for the user who sent it."""


class NothingFound(Rejected):
    """What a command is about is not there: no such id, no such name, nothing that matches. Nothing was done."""


class NotHere(Rejected):
    """This worker cannot run the task, and another one may: it is given back, and nothing has failed."""


class Malformed(ScitqError):
    """Something from outside cannot be understood: nothing was done with it."""


class UnknownEvent(Malformed):
    """An event of a type or version that this release does not know. Skipping it would rewrite history."""

    def __init__(self, type_: str, schema: int, position: int | None = None) -> None:
        self.type, self.schema, self.position = type_, schema, position
        where = "" if position is None else f" at position {position}"
        super().__init__(
            f"event {type_!r} version {schema}{where} is not known to this release; it was written by a newer one"
        )


class UnknownMessage(Malformed):
    """A message of a kind that only a newer agent knows. It is left out: nothing that is new must be heard."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        super().__init__(f"messages of the kind {kind!r} are not known to this release")


class StoreError(ScitqError):
    """The event store did not do as it was asked."""


class LeaseLost(StoreError):
    """Another engine holds the lease: whatever this one wanted to write was refused, and it must exit."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch
        super().__init__(f"the lease of epoch {epoch} is no longer ours: another engine has taken over")


class OutcomeUnknown(StoreError):
    """The answer to a commit was lost. It has usually happened: send the same bytes again."""


class StoreUnavailable(StoreError):
    """The store cannot be reached, or refused before writing anything. Try again later."""

    retryable = True


class StoreFull(StoreUnavailable):
    """No space is left where the store writes. Nothing was written."""


class VersionConflict(StoreError):
    """A stream is not at the version that the append expected: two writers, or a bug. Nothing was written."""


class SchemaMismatch(StoreError):
    """The database is not at the schema this release needs; `scitq-manage db upgrade` mends that."""


class Corrupt(StoreError):
    """What is stored is not what was written."""

    def __init__(self, position: int, reason: str) -> None:
        self.position, self.reason = position, reason
        super().__init__(f"event {position} is damaged: {reason}")


class BusUnavailable(ScitqError):
    """The bus is full or cannot be reached. Nothing was sent; try again in a moment."""

    retryable = True


class BioException(ScitqError, ValueError):
    """Samples cannot be told: no such project, no such files, no clear layout. The name is that of scitq 1."""


class AgentError(ScitqError):
    """The machine of an agent did not do as it was asked. The text is for whoever looks after the machine."""


class FolderInUse(AgentError):
    """Another agent works in the folder: two would start the same executions."""


class OtherLog(AgentError):
    """What the agent holds is of another log than the server's: it was made anew, or is another one."""


class DiskFull(AgentError):
    """No space is left where the agent keeps its files. Nothing was written, and later it may work."""


class Damaged(AgentError):
    """What is in a file of the agent is not what was written, and not the torn end that a power cut leaves."""


class ShimUnavailable(AgentError):
    """The process that runs the commands cannot be started, or does not answer."""


class EngineUnavailable(AgentError):
    """The container engine, docker or podman, is missing, or does not answer. The text says what to do about it."""


class ImageUnavailable(AgentError):
    """An image cannot be had: it does not exist, or its registry wants a password or does not answer."""


class Unreachable(ScitqError):
    """A server does not answer. What was sent to it may still have been done."""

    retryable = True


class ServerError(ScitqError):
    """A server answered that it will not, or cannot. `status` is that of HTTP, `message` a sentence for the user.

    `word` is the entry that explains it (`scitq explain WORD`), where the answer named one.
    """

    def __init__(self, status: int, message: str, word: str | None = None) -> None:
        self.status, self.message, self.word = status, message, word
        super().__init__(message)

    @property
    def status_code(self) -> int:
        """The status, by the name it has in programs written for scitq 1."""
        return self.status


class NotAllowed(ServerError):
    """What was sent with a request does not give the right to it: no token, another server's, or a narrower one."""


class NotFound(ServerError):
    """There is no such task, worker, execution or path, or it was deleted."""


class Busy(ServerError):
    """The server cannot do it now: it is starting, stopping, overloaded, or has lost its database."""

    retryable = True


class QueueFull(ScitqError):
    """As many requests wait to be sent in the background as may. This one was not taken."""

    retryable = True


class NotSent(ScitqError):
    """What was to be sent in the background was not, or its answer is not known. `count`: so many requests."""

    def __init__(self, message: str, count: int = 1) -> None:
        self.count = count
        super().__init__(message)


class PartlyDone(ScitqError):
    """Of many tasks some were created, and then something failed. `task_ids`: number in the list → id."""

    def __init__(self, task_ids: dict[int, int], reason: str) -> None:
        self.task_ids, self.reason = task_ids, reason
        super().__init__(f"{len(task_ids)} tasks were created, and not the others: {reason}")


class TasksFailed(ScitqError, RuntimeError):
    """Of the tasks that were waited for, some did not succeed. `statuses`: how each of them stands."""

    def __init__(self, statuses: dict[int, str]) -> None:
        self.statuses = statuses
        bad = [str(task) for task, status in statuses.items() if status != "succeeded"]
        named = ", ".join(bad[:10]) + (" and others" if len(bad) > 10 else "")
        super().__init__(f"{len(bad)} of {len(statuses)} tasks did not succeed: {named}")
