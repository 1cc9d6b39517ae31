"""Agents that are killed and started again under running tasks: what the tasks print is what it is undisturbed."""

from __future__ import annotations

import time

from bench.agent_worked import Size
from bench.table import Findings
from tests.e2e.restarts import Restarted, Story
from tests.services.scitq import embedded


def restarts(found: Findings, size: Size) -> None:
    """The same tasks twice: left in peace, and with a restart whenever so many of them have ended."""
    peace, _ = _played(size, 0)
    story, took = _played(size, size.restarts)
    same = story.outputs == peace.outputs and len(story.outputs) == size.native + _contained(size)
    wrong = [*peace.wrong, *story.wrong]
    for one in wrong[:20]:
        found.say(one)
    found.row(
        f"agent restarted {story.restarts} times (killed -9, ended, told to, in turns) during {size.native} native and "
        f"{_contained(size)} docker tasks",
        "outputs byte-identical to an undisturbed run, each task ran once",
        f"{'identical' if same else 'not identical'}, {len(wrong)} of {len(story.outputs)} tasks wrong; {took:.0f} s",
        same and not wrong,
    )


def _contained(size: Size) -> int:
    return size.contained if size.docker else 0


def _played(size: Size, count: int) -> tuple[Story, float]:
    settings = {"DOCKER_HOST": size.docker.url} if size.docker else {}
    with embedded(size.folder / f"restarts{count}", **settings) as system:
        system.server()
        begin = time.monotonic()
        story = Restarted(system, size.folder / f"marks{count}").play(size.native, _contained(size), count)
        return story, time.monotonic() - begin
