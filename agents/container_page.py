"""The page docs/containers.md, whose list of options is the one that decides."""

from __future__ import annotations

from scitq.domain.container_options import RESERVED
from scitq.domain.container_table import ALIASES, LETTERS, OPTIONS

HEAD = """# Tasks in containers

A task with a container (`-d IMAGE` of `scitq-launch`, `container` in the library) runs in a fresh container of that
image, on a worker with docker or podman. Its command is split into words as without one, and no shell reads it.

| in the container | what it is |
|---|---|
| `/input` `/output` | the task's own folders, writable; their names are in `$INPUT` and `$OUTPUT` |
| `/resource` | what its resources brought, to be read only; `$RESOURCE` |
| `/tmp` | on the worker's scratch disk, gone with the task; `$TEMP` |
| `/data` | the worker's folder of that name, where it has one |
| `$CPU` | the cores that this task may use |

The image is fetched when it is not there yet (`--pull always` asks its registry each time), once for all tasks that
want it, with whatever `docker login` of the worker's user has left; failing registries are asked four times. What
exactly was run is known by its digest. The container outlives a restart of the worker, and is removed when all it has
printed is kept.

A registry without TLS is named in `insecure-registries` of the engine's settings. Images that a worker has fetched are
removed again when the engine's disk is nearly full (`--autoclean`), the one first that was not used for longest; what
somebody else put there stays.

Inside, the command is root unless the image, `--user` or the task says otherwise; its folders can be written by whoever
that is, and nobody else on the machine gets at them.

A worker without an engine gives the task back. One that is restarted before its engine waits for that, and gives
nothing up. What cannot be started since the program is not in the image ends with 127, what may not be run with 126. A
task that the kernel killed for want of memory says so.

## container_options

The words of `docker run`, with its quoting. What is not known is refused with the option that may have been meant.
Nothing can be mounted over %s; for `/tmp` and `/data` an option counts.
"""


def page() -> str:
    """All of it."""
    letters = {long: f"-{letter}" for letter, long in LETTERS.items()}
    names = {long: f"--{other}" for other, long in ALIASES.items()}

    def named(option: str) -> str:
        return " ".join(f"`{name}`" for name in (letters.get(option), f"--{option}", names.get(option)) if name)

    taken = [named(option) for option, what in OPTIONS.items() if not what.idle and not what.refused]
    idle = [named(option) for option, what in OPTIONS.items() if what.idle]
    refused = [f"| {named(option)} | {what.refused} |" for option, what in OPTIONS.items() if what.refused]
    return "\n".join(
        [
            HEAD % ", ".join(f"`{target}`" for target in RESERVED),
            "**Taken**, as docker means them: " + ", ".join(taken) + ".",
            "",
            "**Without effect**, as the worker does it anyway or a task has no terminal: " + ", ".join(idle) + ".",
            "",
            "**Refused**, with the reason:",
            "",
            "| option | it |",
            "|---|---|",
            *refused,
            "",
        ]
    )
