"""get: a URI into a folder, or under a name, on this machine; then its actions.

With actions, all happens in a hidden folder inside the destination, and what comes out is moved to its place at the
end: of a file that cannot be extracted, nothing is seen.
"""

from __future__ import annotations

import os

from scitq.fetch.actions import perform
from scitq.fetch.backends import backend_of
from scitq.fetch.budget import Limits
from scitq.fetch.errors import UnsupportedError
from scitq.fetch.moving import Move, Mover
from scitq.fetch.staging import hidden_folder, merge
from scitq.fetch.uri import URI


def fetch(mover: Mover, source: URI, destination: str, limits: Limits) -> None:
    """`destination` is a folder if it ends with a slash or is one already; a folder is always fetched into one."""
    into_folder = source.is_folder or brings(source) or destination.endswith("/") or os.path.isdir(destination)
    unpacks = any(action.name in ("untar", "unzip") for action in source.actions)
    if into_folder or unpacks:
        folder, name = destination, name_of(source)
    else:
        folder, name = os.path.split(destination)
    folder = os.path.abspath(folder)
    if not source.actions:
        _plainly(mover, source, folder, name)
        return
    with hidden_folder(folder) as stage:
        first = source.actions[0].name
        named = name + ".gz" if first == "gunzip" and not into_folder and not name.endswith(".gz") else name
        _plainly(mover, source.bare, stage, named)
        perform(source.actions, stage, limits, mover.watch.cancellation)
        merge(stage, folder)


def name_of(source: URI) -> str:
    """What a file is called here; a folder brings the names of what is in it."""
    if source.is_folder or brings(source):
        return ""
    if source.name in ("", ".", ".."):
        raise UnsupportedError(f"{source.shown} has no name that a file could have: give it one")
    return source.name


def brings(source: URI) -> bool:
    return backend_of(source).brings(source)


def _plainly(mover: Mover, source: URI, folder: str, name: str) -> None:
    if brings(source):
        with hidden_folder(folder) as stage:
            backend_of(source).bring(source, stage, mover)
            merge(stage, folder)
    elif source.is_folder:
        mover.folder(source, URI.of_file(folder + "/"))
    else:
        mover.files([Move(source, URI.of_file(os.path.join(folder, name)), name)])
