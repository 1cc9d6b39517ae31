"""Each program that docs/library.md shows is run, in order, against a real server with a worker."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests.services.scitq import embedded

PAGE = Path(__file__).parents[2] / "docs" / "library.md"
BLOCK = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)


def test_the_examples_of_the_library_run(tmp_path: Path) -> None:
    programs = BLOCK.findall(PAGE.read_text())
    assert len(programs) >= 6
    with embedded(tmp_path) as system:
        system.server()
        system.client()
        system.worker(4)
        said = []
        for program in programs:
            done = subprocess.run(
                [sys.executable, "-W", "error", "-c", program], env=system.machine.environ, cwd=tmp_path,
                capture_output=True, text=True, timeout=90, check=False,
            )  # fmt: skip
            assert done.returncode == 0, f"{program}\n{done.stdout}{done.stderr}"
            said.append(done.stdout)
        assert "{'succeeded': 4}" in said[1] and "task-1 task-created" in said[3]
        assert said[4].count("'succeeded'") == 10 and len(said[5].split(",")) == 10
        assert not list((tmp_path / "my-spool").iterdir())
