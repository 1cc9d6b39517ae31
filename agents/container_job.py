"""What is to be run in a container: the words of a task and its folders, put into one create request."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from scitq.domain.container_options import ContainerOptions

OWNER, EXECUTION, BOOT = "scitq.owner", "scitq.execution", "scitq.boot"
"""The labels by which a container is found again; and since which start of the machine it is there."""
FOLDERS: Final = {"/input": "input", "/output": "output", "/tmp": "temp", "/resource": "resource"}
READ_ONLY: Final = ("/resource",)
GIVES_WAY: Final = ("/tmp", "/data")
"""Where an option that mounts something else is followed."""
SHARED: Final = "/data"
"""Mounted into every container, under its own name, if this machine has it."""


@dataclass(frozen=True, slots=True)
class Job:
    """`folder` holds the folders of the execution: input, output, temp, resource."""

    image: str
    argv: Sequence[str]
    folder: str
    options: ContainerOptions = field(default_factory=ContainerOptions)
    cpu: int = 1
    uid: int | None = None
    gid: int | None = None

    def body(self, labels: Mapping[str, str], shared: str = SHARED) -> dict[str, Any]:
        """For the engine. What an option says goes before what we would say."""
        given = self.options.body
        host = given.get("HostConfig", {})
        env = {"CPU": str(self.cpu), "INPUT": "/input", "OUTPUT": "/output", "TEMP": "/tmp", "RESOURCE": "/resource"}
        named = {one.partition("=")[0] for one in given.get("Env", ())}
        made = {
            **given,
            "Image": self.image,
            "Env": [*(f"{name}={value}" for name, value in env.items() if name not in named), *given.get("Env", ())],
            "Labels": {**given.get("Labels", {}), **labels},
            "HostConfig": {**host, "Mounts": [*self._mounts(shared), *host.get("Mounts", ())]},
        }
        if self.argv:
            made["Cmd"] = list(self.argv)
        if "User" not in given and (self.uid is not None or self.gid is not None):
            made["User"] = f"{self.uid or 0}:{self.gid or 0}" if self.gid is not None else str(self.uid)
        return made

    def _mounts(self, shared: str) -> list[dict[str, Any]]:
        places = {target: f"{self.folder}/{name}" for target, name in FOLDERS.items()}
        if Path(shared).is_dir():
            places[shared] = shared
        return [
            {"Type": "bind", "Source": os.path.abspath(source), "Target": target, "ReadOnly": target in READ_ONLY}
            for target, source in places.items()
            if not (target in GIVES_WAY and target in self.options.targets)
        ]
