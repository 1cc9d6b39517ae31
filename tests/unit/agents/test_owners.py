"""Tasks that run as a user of their own: who that is on the worker, and whose their folders are."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from scitq.agents.owners import MOST, Owner, give, is_own, open_to_all, owner_of
from scitq.agents.workshop import Workshop, remove_tree
from scitq.errors import AgentError, NotHere

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
SOMEBODY, GROUP = 54_321, 54_322


@pytest.fixture
def passable() -> Iterator[Path]:
    """A folder that everybody may pass, other than pytest's."""
    folder = Path(tempfile.mkdtemp(prefix="scitq-test-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def may(uid: int, *program: str) -> bool:
    """Whether the user can do that."""
    done = subprocess.run(program, user=uid, group=uid, extra_groups=[], capture_output=True, timeout=30)
    return done.returncode == 0


@root_only
@pytest.mark.parametrize(
    ("user", "uid", "gid"),
    [
        (f"{SOMEBODY}", SOMEBODY, SOMEBODY),
        (f"{SOMEBODY}:{GROUP}", SOMEBODY, GROUP),
        ("nobody", 65_534, 65_534),
        ("65534", 65_534, 65_534),
        ("nobody:daemon", 65_534, 1),
        ("daemon:7", 1, 7),
        (":7", 0, 7),
        ("0", 0, 0),
        ("root", 0, 0),
        (f"{MOST}", MOST, MOST),
    ],
)
def test_a_user_is_a_number_or_a_name_that_the_worker_knows(user: str, uid: int, gid: int) -> None:
    found = owner_of(user)
    assert (found.uid, found.gid) == (uid, gid) and gid in found.groups


@root_only
@pytest.mark.parametrize(
    ("user", "why"),
    [
        ("no-such-user", "does not know the user 'no-such-user'"),
        ("0:no-such-group", "does not know the group 'no-such-group'"),
        (f"{MOST + 1}", "no number of a user"),
        (f"1:{10**30}", "no number of a user"),
        ("-1", "does not know the user"),
        ("²", "does not know the user"),
    ],
)
def test_whoever_the_worker_does_not_know_is_refused_in_words(user: str, why: str) -> None:
    with pytest.raises(NotHere, match=why):
        owner_of(user)


def test_who_is_not_root_can_be_himself_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: SOMEBODY)
    monkeypatch.setattr(os, "getegid", lambda: GROUP)
    assert is_own(owner_of(f"{SOMEBODY}:{GROUP}"))
    for user in ("0", f"{SOMEBODY}:0", "nobody"):
        with pytest.raises(NotHere, match="does not run as root"):
            owner_of(user)


@root_only
def test_a_tasks_folder_is_its_users_and_nobody_elses_below_a_closed_base(passable: Path) -> None:
    base = passable / "base"
    base.mkdir(mode=0o700)
    shop = Workshop(base / "agent", {"PATH": "/bin:/usr/bin", "HOME": "/root"})
    folder = Path(shop.folder(1))
    shared = base / "agent" / "resources" / "r"
    shared.parent.mkdir(mode=0o700)
    shared.write_text("shared")
    shared.chmod(0o444)
    (folder / "input" / "sub").mkdir()
    (folder / "input" / "sub" / "reads").write_text("ACGT")
    (folder / "input" / "link").symlink_to("/etc/hostname")
    (folder / "resource" / "sub").mkdir()
    os.link(shared, folder / "resource" / "sub" / "r")
    before = os.stat("/etc/hostname")
    for _ in range(2):  # a second time after a restart
        command = shop.command(1, {"command": "x", "user": f"{SOMEBODY}:{GROUP}"}, 1)
    assert (command.uid, command.gid, list(command.groups)) == (SOMEBODY, GROUP, [GROUP])
    assert (command.env["USER"], command.env["HOME"]) == (str(SOMEBODY), str(folder))
    for one in (folder, folder / "output", folder / "input" / "sub" / "reads", folder / "resource" / "sub"):
        assert (one.stat().st_uid, one.stat().st_gid) == (SOMEBODY, GROUP), one
    assert shared.stat().st_uid == 0 and os.stat("/etc/hostname").st_uid == before.st_uid
    assert may(SOMEBODY, "sh", "-c", f"cat {folder}/resource/sub/r && echo x >> {folder}/input/sub/reads")
    assert not may(SOMEBODY, "ls", str(base)) and not may(SOMEBODY, "ls", str(shared.parent))
    assert not may(GROUP, "cat", f"{folder}/input/sub/reads") and not may(GROUP, "cat", f"{folder}/resource/sub/r")
    assert Path(shop.folder(1)) == folder, "it can be entered by the agent again, to store what is in it"
    remove_tree(str(folder))
    assert not folder.exists()


@root_only
def test_a_known_user_keeps_his_home_and_his_groups(passable: Path) -> None:
    command = Workshop(passable / "base" / "agent").command(1, {"command": "x", "user": "daemon"}, 1)
    assert (command.env["USER"], command.env["HOME"], command.uid) == ("daemon", "/usr/sbin", 1)


@root_only
def test_a_user_who_could_never_reach_his_folder_is_told_what_to_do(passable: Path) -> None:
    passable.chmod(0o700)
    (passable / "base" / "agent" / "1").mkdir(parents=True)
    with pytest.raises(NotHere, match=rf"chmod o\+x {passable}"):
        give(str(passable / "base" / "agent" / "1"), Owner(SOMEBODY, SOMEBODY))
    with pytest.raises(AgentError, match="cannot be given"):
        give(str(passable / "not" / "there"), Owner(SOMEBODY, SOMEBODY))


def test_a_container_whose_user_only_its_image_knows_can_write_anywhere_in_its_folders(tmp_path: Path) -> None:
    folder = Path(Workshop(tmp_path / "base").folder(1))
    (folder / "input" / "a").write_text("x")
    (folder / "resource" / "r").write_text("x")
    (folder / "resource" / "r").chmod(0o444)
    open_to_all(str(folder))
    modes = {name: (folder / name).stat().st_mode & 0o777 for name in (".", "input", "output", "input/a", "resource/r")}
    assert modes == {".": 0o700, "input": 0o777, "output": 0o777, "input/a": 0o666, "resource/r": 0o444}
