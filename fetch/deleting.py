"""delete: the only verb that takes something away."""

from __future__ import annotations

import os
from collections.abc import Iterable

from scitq.fetch.backend import Item
from scitq.fetch.backends import backend_of
from scitq.fetch.call import one_call
from scitq.fetch.errors import UnsupportedError
from scitq.fetch.many import each
from scitq.fetch.moving import AT_ONCE, Mover
from scitq.fetch.places import Place, included, no_actions, place
from scitq.fetch.tries import PATIENT, Patience, persistently
from scitq.fetch.uri import URI
from scitq.fetch.watch import Cancellation, Watch


def delete(
    uri: Place,
    include: str | Iterable[str] = (),
    dryrun: bool = False,
    *,
    cancellation: Cancellation | None = None,
    patience: Patience = PATIENT,
) -> list[str]:
    """Delete a file, or a folder with all that is in it, or the files in it that are named like `include`.

    The names of what is deleted, or with `dryrun` would be, are returned; links are deleted, not followed.
    """
    target = place(uri)
    no_actions(target)
    if target.protocol == "file" and os.path.realpath(target.path) == "/":
        raise UnsupportedError(f"{target.shown} is the whole machine: it is not deleted")
    with one_call(False, None, cancellation, patience) as watch:
        mover = Mover(watch, patience)
        itself = Item(target, target.name)
        items = [itself] if _is_link(target) else mover.listed(target)
        files = [item for item in items if item.type != "dir" and included(item.rel_name, include)]
        folders = [] if include else [item for item in items if item.type == "dir"]
        if not include and not _is_one_file(target, items):
            folders.insert(0, itself)
        if not dryrun:
            _remove([item.uri for item in files], AT_ONCE, watch, patience)
            _remove([item.uri for item in sorted(folders, key=_depth, reverse=True)], 1, watch, patience)
        return [item.name for item in (*files, *folders)]


def _remove(places: list[URI], at_once: int, watch: Watch, patience: Patience) -> None:
    def one(doomed: URI) -> None:
        def once() -> None:
            backend_of(doomed).delete(doomed, watch.cancellation)

        persistently(once, doomed.shown, watch.cancellation, patience)

    each(one, places, at_once, watch.cancellation)


def recursive_delete(uri: Place, include: str | Iterable[str] = (), dryrun: bool = False) -> list[str]:
    """The same, by the name it has in programs written for scitq 1."""
    return delete(uri, include, dryrun)


def _is_link(target: URI) -> bool:
    """To delete a link is not to delete what it leads to."""
    return target.protocol == "file" and os.path.islink(target.path.rstrip("/"))


def _is_one_file(target: URI, items: list[Item]) -> bool:
    return len(items) == 1 and items[0].type != "dir" and items[0].uri.path.rstrip("/") == target.path.rstrip("/")


def _depth(item: Item) -> int:
    return item.uri.path.rstrip("/").count("/")
