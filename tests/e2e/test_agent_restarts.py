"""An agent is restarted again and again while tasks run, in containers too: nobody but the log can tell."""

from __future__ import annotations

from pathlib import Path

from tests.e2e.restarts import Restarted
from tests.services.docker import PrivateDocker
from tests.services.scitq import embedded


def test_an_agent_restarted_again_and_again_costs_no_task_anything(
    tmp_path: Path, docker_engine: PrivateDocker
) -> None:
    """`python -m bench.agent --only restarts` does it with more of everything, beside an undisturbed run."""
    with embedded(tmp_path / "home", DOCKER_HOST=docker_engine.url) as system:
        system.server()
        story = Restarted(system, tmp_path / "marks").play(native=20, contained=5, restarts=3)
        assert story.wrong == []
        assert (story.restarts, len(story.outputs)) == (3, 25)
