"""Ctrl-C while a program is still being loaded, which a person with a slow disk has time for."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

PROGRAMS = [one for one in entry_points(group="console_scripts") if one.module.startswith("scitq")]
SLOW = "print('loading', flush=True)\nimport time\ntime.sleep(60)\n"


def test_all_of_them_begin_at_one_place() -> None:
    assert sorted(one.value for one in PROGRAMS) == [
        f"scitq.programs:{name}" for name in ("fetch", "launch", "manage", "scitq", "server", "worker")
    ]


@pytest.mark.parametrize("value", ["scitq", "fetch", "launch", "manage", "server", "worker"])
@pytest.mark.parametrize("hears", [True, False], ids=["typed", "in the background of a script"])
def test_ctrl_c_while_it_is_loaded_ends_it_without_a_word(tmp_path: Path, value: str, hears: bool) -> None:
    (tmp_path / "typer.py").write_text(SLOW)
    begin = f"from scitq.programs import {value}; {value}()"
    if not hears:
        begin = f"import signal; signal.signal(signal.SIGINT, signal.SIG_IGN); {begin}"
    with subprocess.Popen(
        [sys.executable, "-c", begin], env={**os.environ, "PYTHONPATH": str(tmp_path)}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdout is not None and process.stdout.readline() == "loading\n"
        process.send_signal(signal.SIGINT)
        if not hears:
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(0.1)
            process.terminate()
        out, err = process.communicate(timeout=60)
    assert (out, err) == ("", "")
    assert process.returncode == -(signal.SIGINT if hears else signal.SIGTERM)
