"""The index of what can go wrong: what each refusal and each error means, and what to do about it.

The answers of the server name their entry (`"help": "/docs/#not-allowed"`), `scitq explain not-allowed` prints it, the
page at `/docs` and docs/errors.md show all of them. Words are for ever: links lead to them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from scitq.explained_transfers import TRANSFERS
from scitq.trouble import Trouble

REFUSALS: Final = (
    Trouble(
        "malformed",
        "What was sent cannot be understood: a field that does not exist, a value of the wrong kind, a body that is no "
        "JSON. Nothing was done.",
        "`errors` in the answer names each field and what is wrong with it. The fields of each route are on this "
        "server's page `/docs`. In a setting or a file of ours, the sentence names the place.",
        400, "Malformed",
        said="bach: there is no such field: did you mean batch?",
    ),
    Trouble(
        "not-allowed",
        "No token came with the request, or one that this server does not know, or the credential of a worker or an "
        "invitation, which are good for one thing only.",
        "Set `SCITQ_TOKEN` to what is in the file `token` of the server's data folder (on the server's machine clients "
        "of the same user find it by themselves), or `SCITQ_SERVER=x:TOKEN@host`. A worker whose credential is too old "
        "needs a new invitation: `scitq worker invite`.",
        401, "NotAllowed",
        said="a token is needed: send it as `Authorization: Bearer TOKEN`",
    ),
    Trouble(
        "other-site",
        "A browser asked on behalf of a page that is not this server's, or by a name that the server does not have; or "
        "the credential of one worker was used for another one.",
        "Open the page under the address that `scitq up` prints. Behind a proxy, pass the header `Host` on as it came, "
        "and ask with a token. A worker keeps to the name it was enrolled under.",
        403,
        said="a page of another site asked for this: that is not allowed",
    ),
    Trouble(
        "not-found",
        "There is no such path, or nothing with this id or name; it may have been deleted.",
        "`scitq-manage task list`, `worker list`, `batch list` show what there is; deleted tasks are listed with "
        "`-S deleted`. Look at `SCITQ_SERVER` too: it may be another server.",
        404, "NotFound",
        said="there is no task 999",
    ),
    Trouble(
        "wrong-method", "The path exists, and does not take this method.",
        "The header `Allow` of the answer lists those that it takes; the page `/docs` says what each does.",
        405,
        said="PUT is not possible here: GET, POST is",
    ),
    Trouble(
        "rejected",
        "The request was understood, and is impossible as things stand: the task has ended, the worker was deleted, "
        "what is required has failed. Nothing was done.",
        "The sentence says what stands in the way. Look at the thing (`scitq-manage task show -i ID`), and ask for "
        "what is possible from there; asking again for the same helps only when it has changed meanwhile.",
        409, "Rejected",
        said="task 1 has already succeeded: only a task that has not ended can be paused",
    ),
    Trouble(
        "key-used",
        "The `Idempotency-Key` was used before, for another request: the server will not guess which one is meant.",
        "Take a new key for each request, and the same key only to send the very same request again.",
        409,
        said="this Idempotency-Key was used before, for something else: choose another",
    ),
    Trouble(
        "too-large", "The request has more than 8 MiB, or more ids or words than a form takes.",
        "Send it in parts: at most 10,000 tasks at once. The library's `tasks_create` divides by itself.",
        413,
        said="a body has at most 8388608 bytes: send it in parts",
    ),
    Trouble(
        "not-json", "The body is not declared as JSON.",
        "Send `Content-Type: application/json`. Programs of ours do; curl sends something else unless told.",
        415,
        said="the body must be JSON, with Content-Type: application/json",
    ),
    Trouble(
        "out-of-range", "The range that was asked for begins behind the end of the output.",
        "`Content-Range` in the answer says how long the output is now; ask from there, or with `follow`.",
        416,
        said="the output has 6 bytes",
    ),
    Trouble(
        "websocket", "This path is a WebSocket: agents connect here, nobody else needs to.",
        "Behind a proxy, let it pass `Upgrade` and `Connection` on (docs/install.md shows how).",
        426,
        said="this is a WebSocket",
    ),
    Trouble(
        "versions-apart", "Server and worker are of releases that share no version of their protocol.",
        "The sentence names both. Bring them to the same release: a release understands the one before and after it.",
        426,
        said="this server is scitq 2.0.0 and speaks scitq.1 with workers, scitq 2.3.0 offers scitq.9: "
        "update the server, or give the worker the server's version",
    ),
    Trouble(
        "stumbled", "The server met something that nobody foresaw. It goes on with everything else.",
        "The server's log says what, with the place: report that. Whether it was done is not known: look before you "
        "send it again, or send it with the same `Idempotency-Key`.",
        500,
        said="the server stumbled over this request: its log says why",
    ),
    Trouble(
        "not-now",
        "The server cannot do it at this moment: it is starting or ending, no engine leads, the database or the broker "
        "is away or full, or too many follow already. With the key in the answer, the request may have been done.",
        "Send it again after `Retry-After` seconds, under the same `Idempotency-Key`; the library and the commands do "
        "that by themselves. When it stays: `scitq-manage status` says what is away.",
        503, "Busy",
        said="the server is starting",
    ),
)  # fmt: skip
"""What the server answers when it does not do as it was asked."""

ERRORS: Final = (
    Trouble(
        "server-error",
        "A server answered that it will not, or cannot. `status` and `message` are those of its answer.",
        "`word` of the error is one of the entries above: `scitq explain WORD`. It was not tried again, because "
        "that would not help.",
        error="ServerError",
    ),
    Trouble(
        "unreachable", "Nobody answers where the server should be. What was sent may still have been done.",
        "Is it running? `scitq up` starts one here. Is `SCITQ_SERVER` right? From another machine, the server has to "
        "listen there: `scitq server --host 0.0.0.0`, and its port must not be blocked. Sending again is safe.",
        error="Unreachable",
    ),
    Trouble(
        "queue-full",
        "As many requests wait to be sent in the background as the sender has room for. This one was not taken.",
        "Try again when the server is back, or give the sender more room: `server.background(most_bytes=…)`. Without "
        "`wait_s` a call waits for room by itself.",
        error="QueueFull",
    ),
    Trouble(
        "not-sent",
        "What was to be sent in the background was not sent when the sender was closed, or its answer is not known.",
        "With `spool`, a folder, it is kept, and the next sender with this folder sends it, once. Without one, look "
        "what is there before you send it again. `close(timeout=None)` waits for as long as it takes.",
        error="NotSent",
    ),
    Trouble(
        "nothing-found", "What a command is about is not there: no such id, no such name, nothing that matches.",
        "Nothing was done. The sentence names what is called nearly so; the lists (`scitq-manage batch list`) show "
        "what there is. The command ends with 3.",
        error="NothingFound",
    ),
    Trouble(
        "partly-done", "Of many tasks, sent in portions, some were created, and then something failed.",
        "`task_ids` of the error tells which exist, by their place in your list. Send the others.",
        error="PartlyDone",
    ),
    Trouble(
        "tasks-failed", "Of the tasks that were waited for, some did not succeed.",
        "`statuses` of the error tells how each stands; `scitq-manage task output -i ID` shows what one printed, "
        "`scitq-manage task relaunch -i ID` queues it again.",
        error="TasksFailed",
    ),
    Trouble(
        "no-samples",
        "`scitq.bio.genetics` cannot tell the samples: the archive knows no runs of that project, a folder has no "
        "files with that ending, as many runs are PAIRED as SINGLE, or a filter names what no run has.",
        "Its sentence says which. Try the other archive (`ena_get_samples`, `sra_get_samples`), or look what there is: "
        "`scitq-fetch list run+fastq://ACCESSION`, `scitq-fetch rlist URI`.",
        error="BioException",
        said="ENA knows no runs of PRJEB00001",
    ),
    Trouble(
        "folder-in-use", "Another agent works in the same folder: two would start the same attempts.",
        "One agent for each folder: give the second one its own `--data` and its own `--name`. After a crash the "
        "folder is free again as soon as the other process has ended.",
        error="FolderInUse",
    ),
    Trouble(
        "other-log",
        "What the worker holds was given to it by a server with another log: it was made anew, or is another one.",
        "Nothing has to be done: the worker ends what it held and begins anew with this server. If it went to "
        "the wrong server, start it with the right address, and a folder of its own (`--data`).",
        error="OtherLog",
    ),
    Trouble(
        "disk-full", "No space is left where the worker keeps its files. Nothing was written.",
        "Make room: `BASE_WORKDIR` holds the working folders of tasks, `SCITQ_DATA` what the worker keeps. It starts "
        "nothing until there is some, and then goes on by itself.",
        error="DiskFull",
    ),
    Trouble(
        "not-here", "A worker cannot run the task, and another one may: it does not know the user, or is not root.",
        "The sentence says what is missing there. The task goes to another worker of its batch; when there is none, "
        "add one, mend that worker, or change the task (`scitq-manage task update`).",
        error="NotHere",
    ),
    Trouble(
        "damaged", "A file of the worker does not hold what was written to it: a disk error, or somebody's hand.",
        "Keep the folder for whoever looks into it, move it away, and start the worker: it begins anew, and what it "
        "held is given to others.",
        error="Damaged",
    ),
    Trouble(
        "shim-unavailable", "The process that runs the commands on a worker cannot be started, or does not answer.",
        "The sentence says why; most often the folder is not writable or the machine has no processes left. Start the "
        "worker again when that is mended: tasks that run are found again.",
        error="ShimUnavailable",
    ),
    Trouble(
        "engine-unavailable", "Docker or podman is missing on a worker, does not answer, or is not for its user.",
        "The sentence says what to do: install it (Debian `apt-get install docker.io`), `pip install 'scitq[docker]'`, "
        "add the worker's user to the group `docker`, or name its socket in `DOCKER_HOST`. Containers that run already "
        "are waited for.",
        error="EngineUnavailable",
    ),
    Trouble(
        "image-unavailable", "The image of a task's container cannot be had: there is none of that name, or its "
        "registry wants a password or does not answer.",
        "Try `docker pull` as the worker's user. For a password: `docker login` as that user; the worker need not be "
        "started anew. For a registry without TLS: `insecure-registries` in the engine's settings.",
        error="ImageUnavailable",
    ),
    Trouble(
        "agent-error", "The machine of a worker did not do as it was asked.",
        "The sentence is for whoever looks after that machine; one of the entries around this one is the more exact.",
        error="AgentError",
    ),
    Trouble(
        "bus-unavailable", "The server's bus is full or cannot be reached. Nothing was sent.",
        "Try again in a moment. When it stays, see whether the broker of `SCITQ_BUS` is there and has memory and disk "
        "left: `scitq-manage status`.",
        error="BusUnavailable",
    ),
    Trouble(
        "store-unavailable", "The database cannot be reached, or refused before anything was written.",
        "Everything waits and goes on by itself when it is back. See whether the database of `SCITQ_STORE` runs, and "
        "has room for the connections (`max_connections`).",
        error="StoreUnavailable",
    ),
    Trouble(
        "store-full", "No space is left where the database writes. Nothing was written.",
        "Make room on that disk; the server goes on by itself.",
        error="StoreFull",
    ),
    Trouble(
        "schema-mismatch", "The database has not the tables that this release needs, or has those of a newer one.",
        "`scitq-manage db upgrade` brings an older one up to date (make a dump before). Of a newer one: install the "
        "newer release.",
        error="SchemaMismatch",
    ),
    Trouble(
        "lease-lost", "Another engine has taken over; this one ends. Nothing is lost or done twice.",
        "Nothing, when a second engine stands by: that is what it is for. If nobody meant to start one, find out who "
        "did: `scitq-manage status` names the machine.",
        error="LeaseLost",
    ),
    Trouble(
        "outcome-unknown", "The answer to a commit was lost. The same bytes are sent again until the database answers.",
        "Nothing: it resolves itself as soon as the database can be reached.",
        error="OutcomeUnknown",
    ),
    Trouble(
        "version-conflict", "Two wrote to the same stream at once; the later one was refused.",
        "It must not happen while one engine leads. Report it, with the log of the engine.",
        error="VersionConflict",
    ),
    Trouble(
        "corrupt", "What is stored is not what was written: a hash of the log does not fit.",
        "`scitq-manage event verify` says where. Stop the server, restore the last dump (docs/install.md), and find "
        "out who or what wrote into the database.",
        error="Corrupt",
    ),
    Trouble(
        "unknown-event", "The log holds an event that a newer release has written. Skipping it would falsify history.",
        "Install that release again, or a newer one. A log does not go back to an older release.",
        error="UnknownEvent",
    ),
    Trouble(
        "unknown-message", "A newer worker says something that this release does not know. It is left out.",
        "Nothing has to be done; update the server when it suits you.",
        error="UnknownMessage",
    ),
    Trouble(
        "store-error", "The database did not do as it was asked.",
        "One of the entries around this one is the more exact; the sentence says what happened.",
        error="StoreError",
    ),
    Trouble(
        "scitq-error", "The root of all errors that scitq raises on purpose: catching it catches each of them.",
        "Its text is a sentence that says what to do.",
        error="ScitqError",
    ),
)  # fmt: skip
"""What commands, workers and servers say, and what the library raises."""

EXPLAINED: Final[Mapping[str, Trouble]] = {trouble.word: trouble for trouble in (*REFUSALS, *ERRORS, *TRANSFERS)}

INTRODUCTION: Final = """\
# What can go wrong

<!-- Written by `make docs`. Change scitq/explained.py. -->

Every refusal and every error, what it means, and what to do about it. A command says in one sentence what went wrong;
an answer of the server has a link to its entry here in `help`, and `scitq explain WORD` prints an entry in the
terminal. What is seen rather than said is in [when things fail](when-things-fail.md).
"""


def page() -> str:
    """docs/errors.md."""
    return "\n".join(
        [
            INTRODUCTION,
            "## What the server answers\n",
            *_table(REFUSALS),
            *_sections(REFUSALS),
            "## What commands, workers and the library say\n",
            *_table(ERRORS),
            *_sections(ERRORS),
            "## What transfers say\n",
            *_table(TRANSFERS),
            *_sections(TRANSFERS),
        ]
    )


def _table(troubles: tuple[Trouble, ...]) -> Iterator[str]:
    yield "| word | status | error |\n|---|---|---|"
    for one in troubles:
        yield f"| [{one.word}](#{one.word}) | {one.status or ''} | {f'`{one.error}`' if one.error else ''} |"
    yield ""


def _sections(troubles: tuple[Trouble, ...]) -> Iterator[str]:
    for one in troubles:
        said = f"> {one.said}\n\n" if one.said else ""
        yield f"### {one.word}\n\n{said}{one.means}\n\n**What to do:** {one.remedy}\n"
