"""An agent is restarted again and again while tasks run: nobody but the log can tell."""

from __future__ import annotations

from pathlib import Path

from tests.e2e.restarts import Restarted
from tests.services.scitq import embedded


def test_an_agent_restarted_again_and_again_costs_no_task_anything(tmp_path: Path) -> None:
    """`python -m bench.agent --only restarts` does it with more of everything, beside an undisturbed run."""
    with embedded(tmp_path / "home") as system:
        system.server()
        story = Restarted(system, tmp_path / "marks").play(native=20, contained=0, restarts=3)
        assert story.wrong == []
        assert (story.restarts, len(story.outputs)) == (3, 20)
