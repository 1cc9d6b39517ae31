"""scitq worker doctor: what works on this machine, a line for each thing."""

from __future__ import annotations

import io
import os
import shutil
import sys
import textwrap
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from scitq.cli import exits
from scitq.cli.tables import ANSI, dump
from scitq.cli.texts import clean
from scitq.config import Settings
from scitq.lib.progress import coloured

MARKS: Final = {"good": ("✓", "+", "green"), "broken": ("✗", "x", "red"), "absent": ("–", "-", "yellow")}
"""What a terminal shows that has such signs, and what another one."""
NAME_CELLS: Final = 15
ENOUGH_S: Final = 3.0
"""For so long a look that is called off may clear up behind itself."""
RUNS: Final = "Tasks without extras can run here."
RUNS_NOT: Final = "No task can run here before this is mended: {}."


def show(settings: Settings, token: Callable[[], str], *, named: bool, autoclean: int, json: bool) -> int:
    """Look, print, and give the code to end with."""
    from scitq.agents.doctor import Doctor, Finding

    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # there are terminals without these signs
    doctor = Doctor(_looks(settings, token, named, autoclean))
    found: list[Finding] = []
    try:
        for one in doctor.findings():
            if not json:
                _print(one, repeated=bool(found) and found[-1].name == one.name)
            found.append(one)
    except KeyboardInterrupt:
        doctor.wait(ENOUGH_S)
        raise
    hindering = list(dict.fromkeys(one.name for one in found if one.state == "broken" and one.needed))
    if json:
        dump({"good": not hindering, "findings": [one._asdict() for one in found]}, "scitq.doctor/1")
    else:
        print("\n" + (RUNS_NOT.format(", ".join(hindering)) if hindering else RUNS))
    code = exits.REFUSED if hindering else exits.DONE
    if doctor.stuck:  # what does not come back would be waited for at the end of the process
        sys.stdout.flush()
        os._exit(code)
    return code


def _looks(settings: Settings, token: Callable[[], str], named: bool, autoclean: int) -> list[Any]:
    from scitq.agents import doctor_engine, doctor_folders, doctor_machine, doctor_programs, doctor_server
    from scitq.agents.doctor import Look

    base, program = settings.base_workdir, doctor_programs.program
    return [
        Look("scitq", doctor_machine.versions),
        Look("server", partial(doctor_server.server, settings.server, token, named), needed=True),
        Look("worker's folder", partial(doctor_folders.data_folder, settings.data), needed=True),
        Look("working folder", partial(doctor_folders.working_folder, base, autoclean), needed=True),
        Look("commands", partial(doctor_machine.commands, settings.data), needed=True, bound_s=30.0),
        Look("cores", doctor_machine.cores),
        Look("memory", doctor_machine.memory),
        Look("open files", doctor_machine.files),
        Look("user", doctor_machine.user),
        Look("containers", partial(doctor_engine.containers, base), bound_s=45.0),
        Look("control groups", doctor_machine.control_groups),
        Look("rclone", doctor_programs.rclone),
        *(Look(name, partial(program, name)) for name in ("aria2c", "pigz", "zstd", "ncdu", "ascp")),
        Look("systemd", doctor_machine.service),
    ]


def _print(one: Any, repeated: bool) -> None:
    """A terminal has it wrapped, below itself; in a pipe each finding is a line."""
    mark, plain, colour = MARKS[one.state]
    try:
        mark.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        mark = plain
    text = clean(one.text)
    if sys.stdout.isatty():
        room = max(shutil.get_terminal_size().columns - NAME_CELLS - 4, 40)
        wrapped = textwrap.wrap(text, room, break_long_words=False, break_on_hyphens=False)
        text = ("\n" + " " * (NAME_CELLS + 4)).join(wrapped)
    shown = f"\x1b[{ANSI[colour]}m{mark}\x1b[0m" if coloured(sys.stdout) else mark
    print(f"{shown} {'' if repeated else one.name:{NAME_CELLS}}  {text}", flush=True)
