"""As whom a task runs that asks for a user of its own, and whose its folders are then.

`user` is `UID`, `UID:GID` or `:GID`, each a number or a name that the worker knows: names are looked up on the worker
also for containers, so that what is fetched and what is stored belongs to the same user inside and outside. A user that
the worker knows has all his groups; one that it does not know has the group of his own number.

    BASE/<agent>/                 may be passed, not listed, by everybody
                 <execution>/     the user's, and nobody else may enter: input output resource temp, and all in them but
                                  the files of resources, which are linked: other tasks have the same
"""

from __future__ import annotations

import errno
import grp
import os
import pwd
import stat
from pathlib import Path
from typing import Final, NamedTuple

from scitq.errors import AgentError, NotHere

MOST: Final = 2**32 - 2
"""The number after it means: leave it as it is."""
_PASS: Final = 0o001


class Owner(NamedTuple):
    """A user of this machine, or of none: then there is only his number."""

    uid: int
    gid: int
    groups: tuple[int, ...] = ()
    name: str | None = None
    home: str | None = None


def owner_of(user: str, *, in_container: bool = False) -> Owner:
    """Who that is here. NotHere, in words, when this worker does not know him or may not run anything as him.

    In a container the engine runs it, who may do more than the agent.
    """
    asked_user, _, asked_group = user.partition(":")
    known = _user(asked_user) if asked_user else _user(str(os.geteuid()))
    uid = known.pw_uid if isinstance(known, pwd.struct_passwd) else known
    gid = _group(asked_group) if asked_group else uid
    groups: tuple[int, ...] = (gid,)
    if isinstance(known, pwd.struct_passwd):
        gid = gid if asked_group else known.pw_gid
        groups = tuple(sorted({gid, *os.getgrouplist(known.pw_name, gid)}))
    found = Owner(uid, gid, groups)
    if isinstance(known, pwd.struct_passwd):
        found = found._replace(name=known.pw_name, home=known.pw_dir)
    if os.geteuid() != 0 and not is_own(found) and not in_container:
        raise NotHere(
            f"this worker does not run as root, so it cannot run anything as {user}: have another worker do it, "
            "or leave the user out"
        )
    return found


def is_own(owner: Owner) -> bool:
    """Whether that is the agent itself, and nothing has to be changed."""
    return (owner.uid, owner.gid) == (os.geteuid(), os.getegid())


def give(folder: str, owner: Owner) -> None:
    """Make a task's folder, with all in it, its user's; to be called before anything runs in it.

    No link is followed. Files in `resource` stay as they are. NotHere when the user cannot get there.
    """
    if is_own(owner):
        return
    try:
        _open_way(Path(folder).parent)
        for where, folders, files, at in os.fwalk(folder):
            os.chown(at, owner.uid, owner.gid)
            linked = where == f"{folder}/resource" or where.startswith(f"{folder}/resource/")
            for name in [name for name in folders if stat.S_ISLNK(os.lstat(name, dir_fd=at).st_mode)] + files:
                if not linked:
                    os.chown(name, owner.uid, owner.gid, dir_fd=at, follow_symlinks=False)
    except OSError as error:
        reason = f"{folder} cannot be given to user {owner.uid}: {error.strerror}"
        if error.errno in (errno.EPERM, errno.EINVAL):  # a disk without owners, or a container that knows few of them
            raise NotHere(reason) from error
        raise AgentError(reason) from error


def open_to_all(folder: str) -> None:
    """For a container's user of whom only its image knows the number. Nobody else can pass the task's folder."""
    for where, _, files, at in os.fwalk(folder):
        if where == folder:
            continue
        os.chmod(at, 0o777)  # noqa: S103 - who can get here is decided above
        if not where.startswith(f"{folder}/resource"):
            for name in files:
                mode = os.lstat(name, dir_fd=at).st_mode
                if stat.S_ISREG(mode):
                    os.chmod(name, stat.S_IMODE(mode) | 0o666, dir_fd=at)  # noqa: S103


def _open_way(part: Path) -> None:
    """Let everybody pass, and see nothing: through the agent's own part and the folder it is in.

    What is above was not made for this, and is left as it is.
    """
    for one in (part, part.parent):
        mode = one.stat().st_mode
        if not mode & _PASS:
            one.chmod(stat.S_IMODE(mode) | _PASS)
    for one in part.parent.parents:
        if not one.stat().st_mode & _PASS:
            raise NotHere(
                f"a task's user cannot reach its working folder in {part.parent}, for others may not pass {one}: give "
                f"this worker another BASE_WORKDIR, or let them pass (chmod o+x {one})"
            )


def _user(text: str) -> pwd.struct_passwd | int:
    try:
        return pwd.getpwuid(_number(text)) if text.isdecimal() else pwd.getpwnam(text)
    except KeyError:
        if text.isdecimal():
            return int(text)
        raise NotHere(f"this worker does not know the user {text!r}: give a number, or add him there") from None


def _group(text: str) -> int:
    if text.isdecimal():
        return _number(text)
    try:
        return grp.getgrnam(text).gr_gid
    except KeyError:
        raise NotHere(f"this worker does not know the group {text!r}: give a number, or add it there") from None


def _number(text: str) -> int:
    if int(text) > MOST:
        raise NotHere(f"{text} is no number of a user or a group: the greatest is {MOST}")
    return int(text)
