"""What follows a `|`: gunzip, untar, unzip, mv – done one after the other on the files in a folder of their own.

An action takes the files that are named as its kind is (`.gz`, `.tar.gz`, `.zip` …); if there is only one file, it
takes that one, whatever its name. The archive is gone afterwards.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Final

from scitq.fetch import faults
from scitq.fetch.archives import Extractor, untar, unzip
from scitq.fetch.budget import Budget, Limits
from scitq.fetch.compressed import gunzip
from scitq.fetch.errors import UnsupportedError
from scitq.fetch.extraction import Extraction
from scitq.fetch.staging import hidden_folder, merge
from scitq.fetch.uri import Action
from scitq.fetch.watch import Cancellation

_TARS: Final = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tbz", ".tar.xz", ".txz", ".tar.zst", ".tzst")
_ENDINGS: Final = {"gunzip": (".gz", ".tgz"), "untar": _TARS, "unzip": (".zip",)}


def perform(actions: Iterable[Action], folder: str, limits: Limits, cancellation: Cancellation) -> None:
    """All of them, in order. When one raises, what is in `folder` is of no use."""
    budget = Budget(limits, sum(os.stat(name).st_size for name in _files(folder)))
    for action in actions:
        if action.argument is not None:
            _move_below(folder, action.argument)
            continue
        for name in _chosen(action.name, folder):
            cancellation.check()
            with faults.of_files(name):
                if action.name == "gunzip":
                    gunzip(name, budget, cancellation)
                else:
                    _extract(untar if action.name == "untar" else unzip, name, budget, cancellation)


def _chosen(action: str, folder: str) -> list[str]:
    files = _files(folder)
    if len(files) == 1:
        return files
    chosen = [name for name in files if name.lower().endswith(_ENDINGS[action])]
    if not chosen:
        raise UnsupportedError(f"there is nothing to {action}: none of {len(files)} files is named so")
    return chosen


def _files(folder: str) -> list[str]:
    """No links: they may lead anywhere."""
    found = []
    for path, _, names in os.walk(folder):
        whole = (os.path.join(path, name) for name in sorted(names))
        found += [name for name in whole if not os.path.islink(name)]
    return found


def _extract(extractor: Extractor, archive: str, budget: Budget, cancellation: Cancellation) -> None:
    """Into an empty folder first, so that it meets nothing, then to where the archive was."""
    place = os.path.dirname(archive)
    with hidden_folder(place) as inside:
        extractor(archive, Extraction(inside, budget), budget, cancellation)
        os.unlink(archive)
        merge(inside, place)


def _move_below(folder: str, below: str) -> None:
    target = os.path.join(folder, below)
    with faults.of_files(target), hidden_folder(folder) as aside:
        for entry in list(os.scandir(folder)):
            if entry.path != aside:
                os.rename(entry.path, os.path.join(aside, entry.name))
        os.makedirs(target)
        for entry in list(os.scandir(aside)):
            os.rename(entry.path, os.path.join(target, entry.name))
