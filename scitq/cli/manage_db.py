"""scitq-manage db: the store's databases, worked on directly. Only here are the libraries of a server needed."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from scitq.cli import config, program
from scitq.cli.tables import AsJson, dump, found
from scitq.errors import Rejected

app = program.app("The databases of the store.")


@app.command("init")
def db_init(store: config.Store = None, json: AsJson = False) -> None:
    """Make a new, empty store."""
    from scitq.store.health import exists
    from scitq.store.upgrade import upgrade
    from scitq.store.urls import shown, store_urls

    if exists(store):
        raise Rejected(f"there is a store already at {shown(store_urls(store).events)}")
    upgrade(store)
    _tell("init", shown(store_urls(store).events), "made {}", json)


@app.command("upgrade")
def db_upgrade(
    store: config.Store = None,
    sql: Annotated[bool, typer.Option("--sql", help="Print the statements of an empty store, run nothing.")] = False,
    json: AsJson = False,
) -> None:
    """Bring the store to the schema of this release; make it if it is not there."""
    from scitq.store.upgrade import upgrade, upgrade_sql
    from scitq.store.urls import shown, store_urls

    if sql:
        if json:
            raise typer.BadParameter("what it prints is SQL", param_hint="'--sql' / '--json'")
        sys.stdout.write(upgrade_sql(store))
        return
    upgrade(store)
    _tell("upgrade", shown(store_urls(store).events), "{} is at the schema of this release", json)


@app.command("check")
def db_check(store: config.Store = None, json: AsJson = False) -> None:
    """Look the databases over: schema, structure, head of the log, lease."""
    from scitq.store.health import look_over

    if not found(look_over(store), json):
        raise typer.Exit(1)


def _tell(action: str, store: str, text: str, json: bool) -> None:
    if json:
        dump({"action": action, "store": store}, "scitq.store/1")
    else:
        print(text.format(store))
