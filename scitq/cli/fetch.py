"""scitq-fetch: move data between places, and look what is there. No server is needed, and none is asked."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

import typer

from scitq import fetch as moving
from scitq.cli import program, tables

NAME = "scitq-fetch"

app = program.app("Move data between places: URIs (s3://bucket/folder/), or paths of this machine.")


@dataclass(frozen=True, slots=True)
class Given:
    """What stands before the verb."""

    parallel: int | None = None


_Uri = typer.Argument(metavar="URI", help="A file or a folder.")
_Source = typer.Argument(metavar="SOURCE", help="What is copied; a folder ends with a slash.")
_Md5 = typer.Option("--md5", help="With the MD5 of each file, where it is known or can be computed.")
_Flat = typer.Option("--not-recursive", help="Without what is in folders of the folder.")
_Json = typer.Option("--json", help="JSON, with everything that is known.")
_Lines = typer.Option("--ndjson", help="JSON, each of them on a line of its own.")
_Include = typer.Option("--include", metavar="PATTERN", help="Only files named so, as '*.bam'; repeatable.")
_Dry = typer.Option("--dryrun", help="Only say what would be done.")

Uri = Annotated[str, _Uri]
Md5 = Annotated[bool, _Md5]
Flat = Annotated[bool, _Flat]
Json = Annotated[bool, _Json]
Lines = Annotated[bool, _Lines]
Include = Annotated[list[str] | None, _Include]
Dry = Annotated[bool, _Dry]


@app.callback()
def options(
    ctx: typer.Context,
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="Say more.")] = False,
    parallel: Annotated[
        int | None, typer.Option("-p", "--parallel", min=1, max=1000, metavar="N", help="Files moved at a time.")
    ] = None,
) -> None:
    said = logging.StreamHandler()
    said.setFormatter(_Words())
    log = logging.getLogger("scitq.fetch")
    log.handlers = [said]
    log.setLevel(logging.DEBUG if verbose else logging.WARNING)
    _heed_settings(log)
    ctx.obj = Given(parallel)


def _heed_settings(log: logging.Logger) -> None:
    """The rclone.conf and the archives that scitq.conf names; the environment's come before them. Nothing else in there
    matters here, nor whether it is right."""
    from scitq.config import for_fetch, load
    from scitq.errors import Malformed

    try:
        for_fetch(load())
    except Malformed as error:
        log.warning("settings are passed over", extra={"error": str(error)})


@app.command("copy", cls=program.Once)
def copy(
    ctx: typer.Context,
    source: Annotated[str, _Source],
    destination: Annotated[str, typer.Argument(metavar="[DESTINATION]", help="Where to. [default: here]")] = "./",
) -> None:
    """Copy a file or a folder from anywhere to anywhere."""
    moving.copy(source, destination, show_progress=True, parallel=ctx.obj.parallel)


@app.command("sync", cls=program.Once)
def sync(
    ctx: typer.Context,
    source: Annotated[str, _Source],
    destination: Annotated[str, typer.Argument(metavar="DESTINATION", help="The folder that is to be like it.")],
    include: Include = None,
    dryrun: Dry = False,
    json: Json = False,
) -> None:
    """Copy what the second folder lacks or has in an older state; nothing is deleted."""
    parallel = {} if ctx.obj.parallel is None else {"process": ctx.obj.parallel}
    names = moving.sync(source, destination, include or (), show_progress=True, dryrun=dryrun, **parallel)
    done = "would be copied" if dryrun else "copied"
    _say_names("sync", names, done, json, dryrun=dryrun, listed=dryrun)


@app.command("delete", cls=program.Once)
def delete(uri: Uri, include: Include = None, dryrun: Dry = False, json: Json = False) -> None:
    """Delete a file, or a folder with all that is in it."""
    names = moving.delete(uri, include or (), dryrun)
    done = "would be deleted" if dryrun else "deleted"
    _say_names("delete", names, done, json, dryrun=dryrun, listed=dryrun)


@app.command("list", cls=program.Once)
def list_(uri: Uri, md5: Md5 = False, not_recursive: Flat = False, json: Json = False, ndjson: Lines = False) -> None:
    """List all that is in a folder, and in folders of it, as whole URIs."""
    _show(moving.list_content(uri, not_recursive, md5), "name", md5, json, ndjson)


@app.command("rlist", cls=program.Once)
def rlist(uri: Uri, md5: Md5 = False, not_recursive: Flat = False, json: Json = False, ndjson: Lines = False) -> None:
    """List all that is in a folder, by the names it has there."""
    _show(moving.list_content(uri, not_recursive, md5), "rel_name", md5, json, ndjson)


@app.command("nlist", cls=program.Once)
def nlist(uri: Uri, md5: Md5 = False, json: Json = False, ndjson: Lines = False) -> None:
    """List what is in a folder, and not in folders of it, as whole URIs."""
    _show(moving.list_content(uri, True, md5), "name", md5, json, ndjson)


@app.command("nrlist", cls=program.Once)
def nrlist(uri: Uri, md5: Md5 = False, json: Json = False, ndjson: Lines = False) -> None:
    """List what is in a folder, and not in folders of it, by the names it has there."""
    _show(moving.list_content(uri, True, md5), "rel_name", md5, json, ndjson)


@app.command("info", cls=program.Once)
def info(uri: Uri, md5: Md5 = False, json: Json = False) -> None:
    """Tell what is there: file or folder, size, dates."""
    row = _row(moving.info(uri, md5))
    if json:
        tables.dump(row, "scitq.file/1")
        return
    for name in ("name", "type", "size", "creation_date", "modification_date", *(("md5",) if md5 else ())):
        print(f"{name}: {tables.cell(_or_dash(row[name]), long=True)}")


@app.command("ncdu", cls=program.Once)
def ncdu(
    uri: Uri,
    run: Annotated[bool, typer.Option("--run", help="Open it with ncdu, and remove it afterwards.")] = False,
    only_file: Annotated[bool, typer.Option("--only-file", help="Only write the file, as without it.")] = False,
    json: Json = False,
) -> None:
    """Find out what takes the room: write a file for `ncdu -f` and print its path."""
    if run and (only_file or json):
        raise typer.BadParameter("it opens a terminal, and --only-file and --json do not", param_hint="'--run'")
    if run:
        _look_at(uri)
    elif json:
        tables.dump({"file": moving.ncdu(uri)}, "scitq.usage/1")
    else:
        print(moving.ncdu(uri))


def _look_at(uri: str) -> None:
    import subprocess

    from scitq.fetch.disk_usage import viewer

    program = viewer()
    path = moving.ncdu(uri)
    try:
        code = subprocess.run([program, "-f", path], check=False).returncode
    finally:
        os.unlink(path)
    raise typer.Exit(code)


def _show(items: Sequence[moving.Item], named: str, md5: bool, json: bool, ndjson: bool) -> None:
    rows = [_row(item) for item in items]
    if ndjson:
        tables.lines(rows, "scitq.files/1")
        return
    if json:
        tables.dump({"rows": rows}, "scitq.files/1")
        return
    columns = [named, "creation_date", "modification_date", "size", *(["md5"] if md5 else [])]
    tables.show([{name: _or_dash(row[name]) for name in columns} for row in rows], columns, long=True)


def _row(item: moving.Item) -> dict[str, Any]:
    return {
        "name": _text(item.name),
        "rel_name": _text(item.rel_name),
        "type": item.type,
        "size": item.size,
        "creation_date": _date(item.creation_date),
        "modification_date": _date(item.modification_date),
        "md5": item.md5,
    }


def _say_names(action: str, names: list[str], done: str, json: bool, *, dryrun: bool, listed: bool) -> None:
    """The names where they are the answer; how many there were otherwise."""
    if json:
        content = {"action": action, "dry_run": dryrun, "files": [_text(name) for name in names]}
        tables.dump(content, "scitq.moved/1")
        return
    for name in names if listed else ():
        print(tables.cell(_text(name), long=True))
    print(f"{len(names)} {'file' if len(names) == 1 else 'files'} {done}", file=sys.stderr)


def _text(name: str) -> str:
    """Bytes of a name that are no text, as escapes: what is printed is text."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _date(time: datetime | None) -> str | None:
    return None if time is None else time.isoformat(" ", "seconds")


def _or_dash(value: Any) -> Any:
    return "-" if value is None else value


class _Words(logging.Formatter):
    """What was tried and why it failed, in one line."""

    def format(self, record: logging.LogRecord) -> str:
        about = [str(record.__dict__[name]) for name in ("what", "error") if name in record.__dict__]
        return f"{NAME}: " + tables.cell(": ".join([record.getMessage(), *about[-1:]]), long=True)


def main() -> None:
    program.run(app, NAME)


if __name__ == "__main__":
    main()
