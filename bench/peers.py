"""HyperQueue, to be measured beside: installed from its wheel into a folder of its own, run as its own Python API does.

python -m bench.peers 5000 4 /dev/shm/work        tasks, slots, work folder: prints tasks a second
"""

from __future__ import annotations

import subprocess
import sys
import time
import venv
from pathlib import Path
from typing import Final

VERSION: Final = "0.27.0"
HOME: Final = Path(__file__).parent.parent / ".peers" / f"hyperqueue-{VERSION}"


def hyperqueue(tasks: int, slots: int, folder: Path) -> float:
    """Tasks a second, from the submission to the last one's start: the moment that its files tell."""
    python = HOME / "bin" / "python"
    if not (HOME / "installed").exists():
        venv.create(HOME, clear=True, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", f"hyperqueue=={VERSION}"], check=True, timeout=300)
        (HOME / "installed").touch()
    folder.mkdir(parents=True, exist_ok=True)
    run = subprocess.run(
        [python, __file__, str(tasks), str(slots), str(folder)], capture_output=True, text=True, timeout=600, check=True
    )
    return float(run.stdout.split()[-1])


def _measure(tasks: int, slots: int, folder: Path) -> float:
    from hyperqueue import Job, LocalCluster  # type: ignore[import-not-found]
    from hyperqueue.cluster import WorkerConfig  # type: ignore[import-not-found]

    with LocalCluster() as cluster:
        cluster.start_worker(WorkerConfig(cores=slots))
        client = cluster.client()
        for count, name in ((2 * slots, "warm"), (tasks, "measured")):
            where = folder / name
            where.mkdir()
            job = Job(default_workdir=where)
            for _ in range(count):
                job.program(["true"])
            begin = time.time()
            client.wait_for_jobs([client.submit(job)])  # looks once a second only
        last = max(path.stat().st_mtime for path in where.iterdir())
    return tasks / (last - begin)


if __name__ == "__main__":
    print(_measure(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])))
