"""Where the store lives: one setting becomes the three databases that hold events, views and output.

In PostgreSQL they share one database. In SQLite they are three files in one folder, because a file has one
writer at a time and appending must not wait for a projection or for somebody's output.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from scitq.errors import Malformed


class StoreUrls(NamedTuple):
    """Three database URLs, for `open_journal`, the projections and `open_output`."""

    events: str
    views: str
    output: str


def default_folder() -> Path:
    data = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    return Path(data).expanduser() / "scitq"


def store_urls(setting: str | None) -> StoreUrls:
    """`postgresql://…`, `sqlite:///folder`, `sqlite:///file.db`, or the plain path of a folder or file."""
    if not setting:
        return _files(default_folder())
    if "://" not in setting:
        return _files(Path(setting))
    url = parse(setting)
    if url.get_backend_name() == "sqlite":
        return _files(Path(str(url.database)))
    text = url.render_as_string(hide_password=False)
    return StoreUrls(text, text, text)


def parse(text: str) -> URL:
    """A URL of one of the two databases, with the driver that is used."""
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):  # from None: the error shows the address, with its password
        raise Malformed("that is no address of a database: sqlite:///folder, or postgresql://user@host/name") from None
    if url.drivername in ("postgres", "postgresql", "postgresql+psycopg2"):
        return url.set(drivername="postgresql+psycopg2")
    if url.drivername == "sqlite":
        if not url.database or url.database == ":memory:":
            raise Malformed("a SQLite store needs a path: sqlite:///folder")
        return url
    raise Malformed(f"a store is sqlite:/// or postgresql://, not {url.drivername}://")


def shown(text: str) -> str:
    """The address without its password, for messages."""
    url = parse(text)
    return url.set(drivername=url.get_backend_name()).render_as_string(hide_password=True)


def _files(path: Path) -> StoreUrls:
    path = Path(os.path.abspath(path.expanduser()))
    if path.suffix != ".db":
        names = [path / f"{name}.db" for name in StoreUrls._fields]
    elif path.name == "events.db":
        names = [path.with_name(f"{name}.db") for name in StoreUrls._fields]
    else:
        names = [path, path.with_name(f"{path.stem}-views.db"), path.with_name(f"{path.stem}-output.db")]
    return StoreUrls(*(URL.create("sqlite", database=str(name)).render_as_string() for name in names))
