"""Every store that rclone knows: s3, azure, gs, and whatever else rclone.conf has a name for.

`name://path` is `name:path` to rclone. It verifies size and checksum of what it moves by itself, notes the time of
change, and writes the MD5 of large files beside them. The time that is told is that at which the store got it, as all
stores know that without a request for each file. Between two of its stores nothing passes through this machine's
disk, and within one often not even through this machine.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Final

from scitq.fetch import faults
from scitq.fetch.backend import Backend, Item
from scitq.fetch.errors import NotFound, UnsupportedError
from scitq.fetch.part import Part
from scitq.fetch.rclone_daemon import daemon, remotes
from scitq.fetch.rclone_followed import Followed
from scitq.fetch.uri import URI
from scitq.fetch.watch import Cancellation, FileWatch, FolderWatch

_SMALL_BYTES: Final = 8 << 20
"""Up to here one call does it; what is larger is followed."""
_MD5: Final[dict[str, Any]] = {"showHash": True, "hashTypes": ["md5"]}
"""Only where it is asked for: of each large file it takes a request of its own."""
_BY_THOUSANDS: Final = {"UseListR": True}
"""So many names are listed by one request."""


class Rclone(Backend):
    def stat(self, uri: URI, cancellation: Cancellation, *, md5: bool = False) -> Item:
        options = _MD5 if md5 else {}
        found = daemon().call("operations/stat", cancellation, uri.shown, **_at(uri), opt=options)["item"]
        if found is None:
            raise NotFound(f"{uri.shown}: there is nothing of that name")
        return _item(uri, uri.name, found)

    def list(
        self, uri: URI, cancellation: Cancellation, *, recursive: bool = True, md5: bool = False
    ) -> Iterator[Item]:
        options = {"recurse": recursive, "noMimeType": True} | (_MD5 if md5 else {})
        top = _name(uri)
        place = _at(uri) | {"opt": options, "_config": _BY_THOUSANDS}
        try:
            found = daemon().call("operations/list", cancellation, uri.shown, **place)["list"] or []
        except NotFound:
            if uri.is_folder or "/" not in top:
                raise
            found = []
        if not found and "/" in top:  # the name of a file, a folder that is empty, or nothing: stores do not tell
            itself = self.stat(uri, cancellation, md5=md5)
            if itself.type == "file":
                yield itself
        for entry in found:
            rel_name = str(entry["Path"])[len(top) :].lstrip("/") if top else str(entry["Path"])
            yield _item(uri.child(rel_name), rel_name, entry)

    def get(self, uri: URI, part: Part, watch: FileWatch) -> None:
        here = {"dstFs": os.path.dirname(part.path), "dstRemote": os.path.basename(part.path)}
        self._move_from(uri, uri, watch, **here)
        part.arrived()

    def put(self, source: str, uri: URI, watch: FileWatch) -> None:
        with faults.of_files(source):
            watch.has_size(os.stat(source).st_size)
        _check_file(uri, watch.cancellation)
        folder, name = os.path.split(os.path.realpath(source))  # it does not follow links
        _name(URI.of_file(source))
        _move(uri, watch, "operations/copyfile", srcFs=folder, srcRemote=name, **_target(uri))

    def delete(self, uri: URI, cancellation: Cancellation) -> None:
        """A bucket stays, also when all that was in it is gone: it belongs to somebody, and has settings."""
        if uri.is_folder and "/" not in _name(uri):
            return
        verb = "operations/rmdir" if uri.is_folder else "operations/deletefile"
        try:
            daemon().call(verb, cancellation, uri.shown, **_at(uri))
        except NotFound:
            return  # it is gone already

    def copies(self, source: URI, target: URI) -> bool:
        return {source.protocol, target.protocol} <= set(remotes())

    def copy(self, source: URI, target: URI, watch: FileWatch) -> None:
        _check_file(target, watch.cancellation)
        self._move_from(source, target, watch, **_target(target))

    def _move_from(self, source: URI, shown: URI, watch: FileWatch, **where: str) -> None:
        _check_file(source, watch.cancellation)
        try:
            _move(shown, watch, "operations/copyfile", **_source(source), **where)
        except NotFound:
            if self.stat(source, watch.cancellation).type == "dir":
                raise faults.a_folder(source.shown) from None
            raise

    def takes_folders(self, source: URI, target: URI) -> bool:
        return {source.protocol, target.protocol} <= {"file", *remotes()}

    def goes_with_others(self, source: URI) -> bool:
        """Not what rclone would pass over, or has no way to be told of in a list."""
        name = source.path
        return name.isprintable() and not (source.protocol == "file" and os.path.islink(name))

    def copy_folder(
        self, source: URI, target: URI, names: Sequence[str] | None, watch: FolderWatch, at_once: int
    ) -> None:
        watch.again()
        what: dict[str, Any] = {"srcFs": _place(source), "dstFs": _place(target)}
        what["createEmptySrcDirs"] = names is None and target.protocol == "file"
        what["_config"] = {**_BY_THOUSANDS, "Transfers": at_once, "NoUpdateModTime": True}
        with tempfile.NamedTemporaryFile("w", prefix="scitq-fetch-", encoding="utf-8") as listed:
            if names is not None:
                listed.writelines(f"{name}\n" for name in names)
                listed.flush()
                what["_filter"] = {"FilesFromRaw": [listed.name]}
            Followed(source.shown, watch.cancellation, watch.stall_s, watch.now).run("sync/copy", **what)


def _place(folder: URI) -> str:
    """A folder as rclone writes it."""
    return folder.path if folder.protocol == "file" else f"{folder.protocol}:{_name(folder)}"


def _check_file(uri: URI, cancellation: Cancellation) -> None:
    """Where files lie in buckets, they lie nowhere else; and what a store says of such a name is of no help."""
    if "/" in _name(uri):
        return
    features = daemon().call("operations/fsinfo", cancellation, uri.shown, fs=f"{uri.protocol}:")["Features"]
    if features["BucketBased"]:
        raise faults.a_folder(uri.shown)


def _at(uri: URI) -> dict[str, Any]:
    return {"fs": f"{uri.protocol}:", "remote": _name(uri)}


def _source(uri: URI) -> dict[str, str]:
    return {"srcFs": f"{uri.protocol}:", "srcRemote": _name(uri)}


def _target(uri: URI) -> dict[str, str]:
    return {"dstFs": f"{uri.protocol}:", "dstRemote": _name(uri)}


def _name(uri: URI) -> str:
    """Of its bucket, or of what lies in one; as rclone writes it."""
    if not uri.path.isascii() and any("\ud800" <= char <= "\udfff" for char in uri.path):
        raise UnsupportedError(f"{uri.path!r} is no text: stores have names of UTF-8 only")
    return uri.path.strip("/")


def _move(uri: URI, watch: FileWatch, verb: str, **what: Any) -> None:
    """One file. A large one is followed, so that its progress is seen and it can be called off."""
    if watch.size is None or watch.size > _SMALL_BYTES:
        begun = watch.done_bytes
        tell = lambda now: watch.moved(begun + now.done_bytes - watch.done_bytes)  # noqa: E731
        Followed(uri.shown, watch.cancellation, watch.stall_s, tell).run(verb, **what)
        return
    daemon().call(verb, watch.cancellation, uri.shown, **what)
    watch.moved(watch.size)


def _item(uri: URI, rel_name: str, entry: dict[str, Any]) -> Item:
    changed = _time(str(entry.get("ModTime", "")))
    if entry["IsDir"]:
        return Item(uri.as_folder, rel_name.rstrip("/") + "/", "dir", None, None, None)
    size = int(entry["Size"])
    md5 = (entry.get("Hashes") or {}).get("md5") or None
    return Item(uri, rel_name, "file", size if size >= 0 else None, changed, changed, md5)


def _time(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None
