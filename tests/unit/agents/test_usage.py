"""What executions use is counted whole: trees of processes, containers, the long, the short, who ran out of memory."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scitq.agents.usage import EVERY_S, POINTS, Curve, Usage
from scitq.agents.usage_cgroups import Cgroup
from scitq.agents.usage_processes import Used, trees
from tests.services.waiting import eventually

MB = 1024 * 1024
HOLD = "x = bytearray({mb} << 20); print(flush=True); import sys; sys.stdin.read()"


@contextmanager
def tree(*scripts: str) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """A shell that leads a session, with a Python for each script; they end when their input does."""
    words = " & ".join(f'"$0" -c "${at}" <&3' for at in range(1, len(scripts) + 1))
    shell = subprocess.Popen(
        ["sh", "-c", f"exec 3<&0; {words} & wait", sys.executable, *scripts],
        start_new_session=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert shell.stdin is not None and shell.stdout is not None
    with shell:
        try:
            for _ in scripts:
                shell.stdout.readline()
            yield shell.pid, shell
        finally:
            shell.stdin.close()


def test_a_tree_uses_what_all_its_processes_use() -> None:
    burn = "import time\nwhile time.process_time() < 0.3: pass\n"
    with tree(HOLD.format(mb=40), burn + HOLD.format(mb=30), HOLD.format(mb=1)) as (pid, _):
        found = trees([pid, 999_999_999])
        assert found.keys() == {pid}
        assert 71 * MB < found[pid].memory_bytes < 200 * MB
        assert 0.25 <= found[pid].cpu_s < 5


def test_a_process_that_made_a_session_of_its_own_still_belongs_to_its_parent() -> None:
    with tree(f"import os; os.setsid(); {HOLD.format(mb=50)}") as (pid, _):
        assert trees([pid])[pid].memory_bytes > 50 * MB


def test_what_a_reaped_command_used_is_exact_with_its_children(tmp_path: Path) -> None:
    script = f"""
import subprocess, sys, os
burn = "import time\\nwhile time.process_time() < 0.4: pass"
subprocess.run([sys.executable, "-c", burn])
subprocess.run([sys.executable, "-c", "x = bytearray(60 << 20)"])
fd = os.open({str(tmp_path / "f")!r}, os.O_CREAT | os.O_WRONLY)
os.write(fd, bytes(1 << 20)); os.fsync(fd)
sys.exit(4)
"""
    # Until it is loaded a program counts the memory of who starts it: so that is a small one, as the shim is.
    shim = f"""
import os, sys
from scitq.agents.usage_processes import reap
pid = os.posix_spawn(sys.executable, [sys.executable, "-c", {script!r}], os.environ)
code, used = reap(pid)
print(code, *used)
"""
    said = subprocess.run([sys.executable, "-c", shim], capture_output=True, text=True, check=True).stdout.split()
    assert said[0] == "4"
    used = Used(float(said[1]), *map(int, said[2:]))
    assert 0.4 <= used.cpu_s < 10
    assert 60 * MB < used.memory_bytes < 300 * MB
    assert used.written_bytes >= (MB if os.stat(tmp_path).st_dev == os.stat("/").st_dev else 0)


def test_the_end_has_the_most_of_what_was_seen_and_what_was_reaped() -> None:
    now = [100.5]
    usage = Usage(now=lambda: now[0])
    assert usage.due() is None
    with tree(HOLD.format(mb=40), HOLD.format(mb=30)) as (pid, _):
        usage.begin(7, pid)
        assert usage.due() == 101.0
        usage.look()
        assert usage.curve(7) == []
        now[0] = 101.0
        usage.look()
        assert usage.due() == 102.0
        (point,) = usage.curve(7)
        assert point.at_s == 0.5 and point.used.memory_bytes > 70 * MB
    now[0] = 102.0
    usage.look()
    used, oom = usage.end(7, 0, Used(cpu_s=1000.0, memory_bytes=50 * MB, read_bytes=5))
    assert used.cpu_s == 1000.0 and used.memory_bytes > 70 * MB and used.read_bytes >= 5 and not oom
    assert usage.due() is None and usage.curve(7) == []
    assert usage.end(7, -9, Used(1.0)) == (Used(1.0), False)


def test_executions_are_looked_at_together_and_old_ones_more_rarely() -> None:
    now = [0.0]
    usage = Usage(now=lambda: now[0])
    for execution in range(20):
        now[0] += 0.03
        usage.begin(execution, os.getpid())
    looks = 0
    while now[0] < 1000.0:
        due = usage.due()
        assert due is not None
        now[0] = due
        usage.look()
        looks += 1
    assert looks < 120 + 60 + 200
    assert {len(usage.curve(execution)) for execution in range(20)} <= set(range(POINTS // 2, POINTS + 1))


@given(st.lists(st.floats(0.2, 400), min_size=1, max_size=400), st.lists(st.integers(0, 1000), min_size=1))
def test_a_curve_never_has_more_points_and_never_forgets_the_peak_or_the_end(
    pauses: list[float], memory: list[int]
) -> None:
    curve, at, most = Curve(), 0.0, 0
    for number, pause in enumerate(pauses):
        at += pause
        held = memory[number % len(memory)]
        most = max(most, held)
        curve.add(at, Used(cpu_s=float(number), memory_bytes=held))
    points = curve.points
    assert 0 < len(points) <= POINTS
    assert [point.at_s for point in points] == sorted({point.at_s for point in points})
    assert max(point.used.memory_bytes for point in points) == most
    assert (points[-1].at_s, points[-1].used.cpu_s) == (at, len(pauses) - 1)


def test_points_are_no_nearer_than_a_second() -> None:
    curve = Curve()
    for tenth in range(1, 101):
        curve.add(tenth / 10, Used(tenth))
    assert len(curve.points) <= 10 / EVERY_S + 1


def test_a_command_that_the_kernel_killed_for_want_of_memory_is_told_from_one_that_was_killed(tmp_path: Path) -> None:
    proc = tmp_path / "proc"
    proc.mkdir()

    def kills(count: int) -> None:
        (proc / "vmstat").write_text(f"nr_free_pages 1\noom_kill {count}\nlast 0\n")

    kills(3)
    usage = Usage(str(proc), now=lambda: 0.0)
    for execution in range(4):
        usage.begin(execution, 1)
    assert usage.end(0, -9) == (Used(), False)
    kills(4)
    assert usage.end(1, 137) == (Used(), True)
    assert usage.end(2, 1) == (Used(), False)
    (proc / "vmstat").unlink()
    assert usage.end(3, -9) == (Used(), False)


def group(root: Path, name: str, files: dict[str, str]) -> None:
    folder = root / name
    folder.mkdir(parents=True)
    for file, content in files.items():
        (folder / file).write_text(content)


def processes(proc: Path, theirs: str, ours: str) -> None:
    for name, content in (("42", theirs), ("self", ours)):
        (proc / name).mkdir(parents=True)
        (proc / name / "cgroup").write_text(content)


def test_a_container_is_read_from_its_control_group_of_version_2(tmp_path: Path) -> None:
    proc, root = tmp_path / "proc", tmp_path / "cgroup"
    processes(proc, "0::/system.slice/docker-ab.scope\n", "0::/system.slice/scitq-worker.service\n")
    group(root, "system.slice/docker-ab.scope", {
        "cpu.stat": "usage_usec 2500000\nuser_usec 1\nsystem_usec 2\n",
        "memory.stat": "anon 1000\nfile 999999\nshmem 24\n",
        "memory.events": "low 0\nhigh 0\nmax 3\noom 1\noom_kill 2\n",
        "io.stat": "8:0 rbytes=10 wbytes=20 rios=1 wios=2 dbytes=0 dios=0\n253:0 rbytes=5 wbytes=6\n",
    })  # fmt: skip
    found = Cgroup.find(42, str(proc), str(root))
    assert found is not None
    assert found.read() == (Used(2.5, 1024, 15, 26), 2)
    for file in (root / "system.slice/docker-ab.scope").iterdir():
        file.unlink()
    (root / "system.slice/docker-ab.scope").rmdir()
    assert found.read() is None


def test_a_container_is_read_from_its_control_groups_of_version_1(tmp_path: Path) -> None:
    proc, root = tmp_path / "proc", tmp_path / "cgroup"
    place = "/docker/ab"
    processes(
        proc,
        f"3:memory:{place}\n2:cpu,cpuacct:{place}\n1:blkio:{place}\n0::/\n",
        "3:memory:/\n2:cpu,cpuacct:/\n1:blkio:/\n0::/\n",
    )
    group(
        root,
        f"memory{place}",
        {
            "memory.stat": "rss 1\ntotal_rss 1000\ntotal_cache 99\n",
            "memory.oom_control": "oom_kill_disable 0\noom_kill 1\n",
        },
    )
    group(root, f"cpuacct{place}", {"cpuacct.usage": "1500000000\n"})
    group(
        root,
        f"blkio{place}",
        {"blkio.throttle.io_service_bytes_recursive": "8:0 Read 7\n8:0 Write 9\n8:0 Total 16\nTotal 16\n"},
    )
    found = Cgroup.find(42, str(proc), str(root))
    assert found is not None and found.read() == (Used(1.5, 1000, 7, 9), 1)
    (root / f"blkio{place}" / "blkio.throttle.io_service_bytes_recursive").write_text("Total 0\n")
    (root / f"memory{place}" / "cgroup.procs").write_text("42\n43\n")
    (proc / "42" / "io").write_text(
        "rchar: 1\nwchar: 2\nsyscr: 3\nsyscw: 4\nread_bytes: 50\nwrite_bytes: 60\ncancelled_write_bytes: 7\n"
    )
    assert found.read() == (Used(1.5, 1000, 50, 60), 1)


@pytest.mark.parametrize("theirs", ["0::/\n", "0::/elsewhere\n", "1:memory:/x\n", ""])
def test_a_container_whose_group_cannot_be_seen_is_looked_at_by_its_processes(tmp_path: Path, theirs: str) -> None:
    processes(tmp_path, theirs, "0::/\n")
    assert Cgroup.find(42, str(tmp_path), str(tmp_path)) is None
    assert Cgroup.find(43, str(tmp_path), str(tmp_path)) is None
    now = [0.5]
    usage = Usage(now=lambda: now[0])
    usage.begin(1, os.getpid(), container=True)
    now[0] = eventually(usage.due)
    usage.look()
    assert usage.curve(1)[0].used.memory_bytes > 0
