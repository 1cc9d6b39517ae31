"""Where RabbitMQ's programs are: installed on this machine, or another release in the root folder of another Debian.

SCITQ_TEST_RABBITMQ names such a root, and then all tests run on its release; `rabbitmq4.sh` beside this file makes one.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import NamedTuple

DEBIAN = Path("usr/lib/rabbitmq/bin")
ENTER = 'mount -t proc proc "$0/proc" && exec chroot "$0" "$@"'  # in a mount namespace, which ends with the program


class RabbitMissing(Exception):
    """No RabbitMQ server on this machine; `make setup` installs it."""


class Programs(NamedTuple):
    """`root`: what these programs take for the whole file system."""

    root: Path
    folder: Path

    @property
    def apart(self) -> bool:
        return self.root != Path("/")

    def command(self, name: str, *words: str) -> list[str]:
        """Exec'd to the end: its pid is the program's."""
        program = name if name == "epmd" else str(self.folder / name)
        if not self.apart:
            return [program, *words]
        return ["unshare", "--mount", "sh", "-c", ENTER, str(self.root), program, *words]

    def seen(self, path: Path) -> str:
        """One of our files, as the programs name it."""
        return f"/{path.relative_to(self.root)}"

    @property
    def scratch(self) -> Path | None:
        """Where folders are made which they can see; None: anywhere."""
        return self.root / "tmp" if self.apart else None


def find_programs() -> Programs:
    """Debian's in /usr/sbin change the user first: not those."""
    root = Path(os.environ.get("SCITQ_TEST_RABBITMQ") or "/")
    if (root / DEBIAN / "rabbitmq-server").exists():
        return Programs(root, "/" / DEBIAN)
    if root != Path("/"):
        raise RabbitMissing(f"SCITQ_TEST_RABBITMQ: there is no RabbitMQ in {root}: tests/services/rabbitmq4.sh {root}")
    on_path = shutil.which("rabbitmq-server")
    if on_path is None or shutil.which("epmd") is None:
        raise RabbitMissing("RabbitMQ's server programs are not installed (make setup does it on Debian)")
    return Programs(root, Path(on_path).resolve().parent)
