"""What `scitq worker doctor` says of a machine that works, and of one that is broken in each way there is."""

from __future__ import annotations

import os
import resource
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from scitq.agents import doctor_folders, doctor_machine, doctor_programs
from scitq.agents.doctor import Doctor, Finding, Look, good
from scitq.errors import AgentError
from scitq.fetch import programs, rclone_daemon
from tests.conftest import SmallDisk


def only(findings: Iterable[Finding]) -> Finding:
    (one,) = findings
    return one


def executable(path: Path, script: str) -> None:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


# Looking ------------------------------------------------------------------------------------------------------------


def test_looks_are_shown_in_their_order_whoever_is_first() -> None:
    first_may_end = threading.Event()

    def slow() -> Iterator[Finding]:
        assert first_may_end.wait(20)
        yield good("slow")

    def quick() -> Iterator[Finding]:
        yield good("quick")
        first_may_end.set()

    doctor = Doctor([Look("a", slow), Look("b", quick)])
    assert [(one.name, one.text) for one in doctor.findings()] == [("a", "slow"), ("b", "quick")]
    doctor.wait(20)
    assert not doctor.stuck


def test_who_does_not_answer_is_given_up_and_what_was_found_before_is_kept() -> None:
    for_ever = threading.Event()

    def hangs() -> Iterator[Finding]:
        yield good("half")
        for_ever.wait()

    doctor = Doctor([Look("disk", hangs, needed=True, bound_s=0.1)])
    half, rest = doctor.findings()
    assert half == good("half")._replace(name="disk")
    assert (rest.state, rest.needed) == ("broken", True)
    assert rest.text == "it does not answer: it was given up after 0.1 s"
    assert doctor.stuck
    for_ever.set()


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (AgentError("the sentence"), "the sentence"),
        (PermissionError(13, "Permission denied", "/x"), "/x: Permission denied"),
        (TimeoutError("no answer"), "no answer"),
        (KeyError("x"), "looking at it failed (KeyError: 'x'): please report this"),
    ],
)
def test_a_look_that_fails_is_a_finding(error: Exception, text: str) -> None:
    def fails() -> Iterator[Finding]:
        yield from ()
        raise error

    assert only(Doctor([Look("it", fails, needed=True)]).findings()) == Finding("broken", text, True, "it")


# The machine --------------------------------------------------------------------------------------------------------


def test_a_command_is_really_run_and_nothing_stays(tmp_path: Path) -> None:
    assert only(doctor_machine.commands(tmp_path / "not there yet")).state == "good"
    assert os.listdir(tmp_path) == []


def test_commands_that_cannot_be_run_are_what_everything_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor_machine, "SHELL", str(tmp_path / "no-shell"))
    found = only(doctor_machine.commands(tmp_path))
    assert (found.state, found.needed) == ("broken", True) and found.text.startswith("none can be run here: ")


def test_machine_user_and_groups_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for look in (doctor_machine.versions, doctor_machine.cores, doctor_machine.memory):
        assert only(look()).state == "good"
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert only(doctor_machine.user()).text == "root: tasks may name the user and group they run as (-u, -g)"
    monkeypatch.setattr(os, "geteuid", lambda: 54_321)
    assert only(doctor_machine.user()).text.startswith("54321: tasks without a container that name a user (-u, -g)")
    assert only(doctor_machine.control_groups(tmp_path)).state == "absent"
    (tmp_path / "memory").mkdir()
    assert only(doctor_machine.control_groups(tmp_path)).text == "version 1"
    (tmp_path / "cgroup.controllers").write_text("cpu memory\n")
    assert only(doctor_machine.control_groups(tmp_path)).text == "version 2: cpu, memory"


def test_the_least_limit_of_memory_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cgroup/a/b").mkdir(parents=True)
    (tmp_path / "cgroup/a/memory.max").write_text("1048576\n")
    (tmp_path / "cgroup/a/b/memory.max").write_text("max\n")
    monkeypatch.setattr(doctor_machine, "OWN_GROUPS", tmp_path / "own")
    (tmp_path / "own").write_text("1:name=systemd:/x\n0::/a/b\n")
    assert only(doctor_machine.memory(tmp_path / "cgroup")).text.endswith("and this process may have 1.0 MiB")


@pytest.mark.parametrize(
    ("limits", "text"),
    [
        ((65_536, 65_536), "65,536 may be open"),
        ((256, 65_536), "only 256 may be open, too few for many tasks: ulimit -n 1024, or LimitNOFILE="),
        ((256, 512), "ulimit -n 512"),
        ((resource.RLIM_INFINITY, resource.RLIM_INFINITY), "as many as needed"),
    ],
)
def test_a_low_limit_of_files(limits: tuple[int, int], text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: limits)
    assert text in only(doctor_machine.files()).text


UNITS = {
    "LoadState=not-found\nActiveState=inactive": ("absent", "install deploy/systemd/scitq-worker.service"),
    "LoadState=loaded\nActiveState=active\nUnitFileState=enabled\nKillMode=process": ("good", "is active, and started"),
    "LoadState=loaded\nActiveState=active\nUnitFileState=disabled\nKillMode=process": ("absent", "systemctl enable"),
    "LoadState=loaded\nActiveState=active\nUnitFileState=enabled\nKillMode=mixed": ("broken", "needs KillMode=process"),
}


@pytest.mark.parametrize("said", UNITS)
def test_the_unit_of_systemd(said: str, tmp_path: Path) -> None:
    executable(tmp_path / "systemctl", f"cat <<'END'\n{said}\nEND")
    state, words = UNITS[said]
    found = only(doctor_machine.service(str(tmp_path / "systemctl")))
    assert found.state == state and words in found.text


def test_a_machine_without_systemd_or_with_one_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert only(doctor_machine.service("no-such-program")).state == "absent"
    executable(tmp_path / "fails", "exit 1")
    assert "systemd does not run here" in only(doctor_machine.service(str(tmp_path / "fails"))).text
    executable(tmp_path / "hangs", "exec sleep 60")
    monkeypatch.setattr(doctor_machine, "SOON_S", 0.1)
    assert only(doctor_machine.service(str(tmp_path / "hangs"))).text.startswith("systemd does not answer")


# Folders ------------------------------------------------------------------------------------------------------------


def test_a_folder_that_is_not_there_yet_is_judged_by_where_it_will_be(tmp_path: Path) -> None:
    found = list(doctor_folders.working_folder(tmp_path / "a/b", autoclean=100))
    assert [one.state for one in found] == ["good", "good", "good"]
    assert "made when it is needed" in found[0].text and " are free)" in found[0].text
    assert only(doctor_folders.data_folder(tmp_path)).state == "good"
    assert os.listdir(tmp_path) == []


def test_a_folder_below_a_file_is_none(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    found = only(doctor_folders.working_folder(tmp_path / "file/below"))
    assert (found.state, found.needed) == ("broken", True)
    assert "(Not a directory): name another folder with --base or BASE_WORKDIR" in found.text


def test_a_disk_that_is_nearly_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    room = SimpleNamespace(f_blocks=1_000_000, f_bavail=50_000, f_frsize=4_096)
    monkeypatch.setattr(os, "statvfs", lambda _: room)
    found = list(doctor_folders.working_folder(tmp_path))
    assert found[1].text.startswith("it is 95 % full: beyond 90 % (--autoclean)") and not found[1].needed
    room.f_bavail = 3
    assert only(doctor_folders.working_folder(tmp_path)).text.startswith("next to no space is left")
    assert only(doctor_folders.data_folder(tmp_path)).needed


def test_a_file_system_without_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def link(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", link)
    found = list(doctor_folders.working_folder(tmp_path, autoclean=100))[-1]
    assert found.state == "broken" and "(Operation not permitted), so tasks with resources fail" in found.text


def test_disks_that_cannot_be_written_and_that_run_no_programs(small_disk: SmallDisk) -> None:
    read_only = only(doctor_folders.working_folder(small_disk("size=2m,ro") / "work"))
    assert read_only.needed and "(Read-only file system): name another folder" in read_only.text
    room, programs_, links = doctor_folders.working_folder(small_disk("size=2m,noexec"))
    assert room.state == "good" and "(tmpfs, in memory: what is written there takes from it; 2.0 MiB of" in room.text
    assert programs_.state == "broken" and "mounted with noexec" in programs_.text
    assert links.state == "good"


# Programs -----------------------------------------------------------------------------------------------------------


def test_a_program_that_is_missing_is_named_with_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    found = only(doctor_programs.program("zstd"))
    assert found.state == "absent" and found.text.endswith("it is for .zst archives (Debian: apt-get install zstd)")
    assert (
        str(programs.missing("zstd")) == "zstd is needed for this and is not installed (Debian: apt-get install zstd)"
    )


def test_a_program_that_does_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(doctor_programs, "SOON_S", 0.2)
    for script, words in (
        ("echo cannot open libz.so; exit 127", "ends with 127: cannot open libz.so; install it anew"),
        ("exec sleep 60", "does not answer within 0.2 s"),
    ):
        executable(tmp_path / "pigz", script)
        assert words in only(doctor_programs.program("pigz")).text
    (tmp_path / "pigz").write_bytes(b"\x7fELF no program")
    found = only(doctor_programs.program("pigz"))
    assert found.state == "broken" and "cannot be run: " in found.text
    monkeypatch.setattr(doctor_programs, "SOON_S", 20.0)
    executable(tmp_path / "pigz", "echo pigz 2.6")
    assert only(doctor_programs.program("pigz")) == good(f"2.6 ({tmp_path}/pigz)")


def test_the_places_of_rclone_are_named_and_their_secrets_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    executable(tmp_path / "rclone", "echo rclone v1.60.1-DEV")
    conf = tmp_path / "rclone.conf"
    conf.write_text("[s3]\ntype = s3\nsecret_access_key = hush\n[azure]\ntype = azureblob\nkey = hush\n")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(rclone_daemon, "_PLACES", ())
    none_described = list(doctor_programs.rclone())
    assert [one.state for one in none_described] == ["good", "absent"]
    monkeypatch.setenv("SCITQ_RCLONE_CONF", str(conf))
    version, places = doctor_programs.rclone()
    assert version.text == f"1.60.1 ({tmp_path}/rclone)"
    assert places == good(f"{conf} describes s3://, azure://")
    (tmp_path / "rclone").unlink()
    monkeypatch.setenv("PATH", str(tmp_path))
    found = only(doctor_programs.rclone())
    assert found.state == "broken" and "describes s3://, azure://, and rclone is not installed" in found.text
    conf.write_text("no configuration")
    found = only(Doctor([Look("rclone", doctor_programs.rclone)]).findings())
    assert found.state == "broken" and "cannot be understood as a configuration" in found.text
