"""What programs call: each verb with the arguments of scitq 1, and by keyword progress and cancellation.

A place is a URI, or a path of this machine (text without `://`). All verbs wait until they are done.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from datetime import timedelta

from scitq.fetch import faults, getting
from scitq.fetch.backend import Item
from scitq.fetch.backends import backend_of
from scitq.fetch.budget import LIMITS, Limits
from scitq.fetch.call import Tell, one_call
from scitq.fetch.errors import NotFound, UnsupportedError
from scitq.fetch.moving import AT_ONCE, Move, Mover, files_of
from scitq.fetch.places import Place, included, no_actions, place
from scitq.fetch.tries import PATIENT, Patience, persistently
from scitq.fetch.uri import URI
from scitq.fetch.watch import Cancellation, Watch


def get(
    uri: str | URI,
    destination: str | os.PathLike[str],
    parallel: int | None = None,
    show_progress: bool = False,
    *,
    progress: Tell | None = None,
    cancellation: Cancellation | None = None,
    patience: Patience = PATIENT,
    limits: Limits = LIMITS,
) -> None:
    """Fetch into a folder, or under a name, on this machine; a final slash says that either is a folder."""
    with one_call(show_progress, progress, cancellation, patience) as watch:
        getting.fetch(Mover(watch, patience, parallel), URI(uri), os.fspath(destination), limits)


def put(
    source: str | os.PathLike[str],
    uri: str | URI,
    parallel: int | None = None,
    show_progress: bool = False,
    *,
    progress: Tell | None = None,
    cancellation: Cancellation | None = None,
    patience: Patience = PATIENT,
) -> None:
    """Send a file, or all that is in a folder, from this machine."""
    target = URI(uri)
    with one_call(show_progress, progress, cancellation, patience) as watch:
        _send(Mover(watch, patience, parallel), URI.of_file(source), target)


def copy(
    source_uri: Place,
    destination_uri: Place,
    show_progress: bool = False,
    file_list: Iterable[str] | None = None,
    *,
    parallel: int | None = None,
    progress: Tell | None = None,
    cancellation: Cancellation | None = None,
    patience: Patience = PATIENT,
    limits: Limits = LIMITS,
) -> None:
    """From anywhere to anywhere. `file_list`: only these files of a folder, by the names they have in it."""
    source, target = place(source_uri), place(destination_uri)
    with one_call(show_progress, progress, cancellation, patience) as watch:
        mover = Mover(watch, patience, parallel)
        if source.protocol == "file" and os.path.isdir(source.path):
            source = source.as_folder
        if file_list is not None:
            if source.actions:
                raise UnsupportedError("actions are for all of a folder, not for a list of its files")
            mover.folder(source, target, frozenset(file_list))
        elif target.protocol == "file":
            no_actions(target)
            getting.fetch(mover, source, target.path, limits)
        elif source.actions or getting.brings(source):
            with tempfile.TemporaryDirectory(prefix="scitq-fetch-") as folder:
                getting.fetch(
                    Mover(Watch(None, watch.cancellation, watch.stall_s), patience), source, folder + "/", limits
                )
                _send(mover, URI.of_file(folder + "/"), target)
        else:
            _send(mover, source, target)


def sync(
    uri1: Place,
    uri2: Place,
    include: str | Iterable[str] = (),
    process: int = AT_ONCE,
    show_progress: bool = False,
    *,
    dryrun: bool = False,
    progress: Tell | None = None,
    cancellation: Cancellation | None = None,
    patience: Patience = PATIENT,
) -> list[str]:
    """Copy what the second folder lacks, or has in another size or an older state. Nothing is deleted.

    `include`: patterns as `*.bam`, of names below the folder or of files anywhere in it. The names that are copied, or
    with `dryrun` would be, are returned.
    """
    source, target = place(uri1).as_folder, place(uri2).as_folder
    for uri in (source, target):
        no_actions(uri)
    with one_call(show_progress, progress, cancellation, patience) as watch:
        mover = Mover(watch, patience, process)
        wanted = [item for item in files_of(mover.listed(source)) if included(item.rel_name, include)]
        try:
            there = {item.rel_name: item for item in mover.listed(target)}
        except NotFound:
            there = {}
        stale = [item for item in wanted if _stale(item, there.get(item.rel_name))]
        if not dryrun:
            mover.below(source, target, stale, whole=len(stale) == len(wanted) and not include)
    return [item.rel_name for item in stale]


def list_content(
    uri: Place,
    no_rec: bool = False,
    md5: bool = False,
    *,
    cancellation: Cancellation | None = None,
    patience: Patience = PATIENT,
) -> list[Item]:
    """What is in a folder and below, or with `no_rec` in it only."""
    target = place(uri)
    no_actions(target)
    with one_call(False, None, cancellation, patience) as watch:
        return Mover(watch, patience).listed(target, md5=md5, recursive=not no_rec)


def info(
    uri: Place,
    md5: bool = False,
    *,
    cancellation: Cancellation | None = None,
    patience: Patience = PATIENT,
) -> Item:
    """What is there: type, size, dates, and the MD5 if it is asked for and can be had."""
    target = place(uri).bare
    with one_call(False, None, cancellation, patience) as watch:
        work = lambda: backend_of(target).stat(target, watch.cancellation, md5=md5)  # noqa: E731
        return persistently(work, target.shown, watch.cancellation, patience)


def _send(mover: Mover, source: URI, target: URI) -> None:
    """A folder goes below the target; a file under its name or, in a folder, its own."""
    no_actions(target)
    if source.protocol == "file":
        with faults.of_files(source.path):
            os.stat(source.path)
        if os.path.isdir(source.path):
            source = source.as_folder
    if source.is_folder:
        mover.folder(source, target)
        return
    name = getting.name_of(source)
    mover.files([Move(source, target.child(name) if target.is_folder else target, name)])


def _stale(item: Item, there: Item | None) -> bool:
    if there is None or there.size != item.size:
        return True
    if item.md5 and there.md5:
        return item.md5 != there.md5
    if item.modification_date is None or there.modification_date is None:
        return False
    # What is not of this machine may be told in whole seconds.
    window_s = 0 if item.uri.protocol == there.uri.protocol == "file" else 1
    return item.modification_date > there.modification_date + timedelta(seconds=window_s)
