"""The tutorial, typed word for word: on a laptop, and on a second machine, which is a network namespace."""

from __future__ import annotations

from pathlib import Path

from tests.conftest import miss
from tests.services.namespaces import NamespacesMissing, two_machines
from tests.services.scitq import Machine, end_all_in
from tests.services.typist import Typist

PAGE = Path(__file__).resolve().parents[2] / "docs" / "tutorial.md"


def test_the_tutorial_works_word_for_word(tmp_path: Path) -> None:
    machines = {name: Machine(tmp_path / name) for name in ("laptop", "second")}
    try:
        with two_machines() as cable:
            spaces = {"laptop": cable.near, "second": cable.far}

            def enter(machine: str, command: list[str]) -> list[str]:
                named = ["unshare", "--uts", "sh", "-c", 'hostname "$0" && exec "$@"', machine]
                return ["ip", "netns", "exec", spaces[machine], *named, *command]

            typist = Typist(machines, enter)
            typist.filled["LAPTOP"] = cable.near_address
            typist.found["INVITATION"] = r"--invite (\S+)"
            try:
                assert typist.follow(PAGE.read_text()) > 20
            finally:
                typist.close()
                for machine in machines.values():
                    end_all_in(machine.folder)
    except NamespacesMissing as reason:
        miss(str(reason))
