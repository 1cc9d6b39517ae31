"""What all commands share: help, one sentence for each error, exit codes (`exits.py`), and no library of a server."""

from __future__ import annotations

import os
import sys
import traceback
from typing import Any, Final, NoReturn

import typer
from typer.core import TyperCommand

from scitq.cli import exits, misuse
from scitq.cli.texts import clean
from scitq.errors import ScitqError

HELP: Final = {"help_option_names": ["-h", "--help"]}
SERVER_ONLY: Final = frozenset({"alembic", "psycopg2", "sqlalchemy", "starlette", "uvicorn"})
SAID_CHARS: Final = 1_000


def app(help: str | None = None, **more: Any) -> typer.Typer:
    """A program, or a part of one."""
    settings = {"context_settings": HELP, "no_args_is_help": True, "add_completion": False, **more}
    return typer.Typer(help=help, pretty_exceptions_enable=False, rich_markup_mode=None, **settings)


class Once(TyperCommand):
    """A command whose options are given once, unless they may be repeated: the one meant is not guessed."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        given = list(args)
        rest = super().parse_args(ctx, args)
        _, _, order = self.make_parser(ctx).parse_args(args=given)
        for param in order:
            # A flag means the same twice.
            single = param.param_type_name == "option" and not param.multiple and not getattr(param, "is_flag", False)
            if single and order.count(param) > 1:
                raise typer.BadParameter("it is given twice", ctx=ctx, param_hint=" / ".join(param.opts))
        return rest


def run(app: typer.Typer, name: str) -> NoReturn:
    """The whole of a program: whatever happens, there is no traceback."""
    # Python has no such file when it was started with `>&-`; and what is opened next must not be taken for it.
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115
    for word in sys.argv[1:]:
        if not word.isascii() and any("\udc80" <= char <= "\udcff" for char in word):
            say(name, f"{word!r} is no UTF-8, and texts are")
            sys.exit(exits.MISUSED)
    try:
        try:
            code = app(prog_name=name, standalone_mode=False)
        finally:
            sys.stdout.flush()
    except SystemExit as end:  # typer's own way to say that nobody reads any more
        if not isinstance(end.__context__, BrokenPipeError):
            raise
        _unread()
    except BrokenPipeError:
        _unread()
    except (KeyboardInterrupt, typer.Abort):
        sys.exit(exits.INTERRUPTED)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in SERVER_ONLY:
            raise
        say(name, "this needs what only a server needs, and it is not installed: pip install 'scitq[server]'")
        sys.exit(exits.REFUSED)
    except misuse.ERROR as error:
        if misuse.is_call_for_help(error):
            misuse.show_help(error)
        else:
            say(*misuse.sentence(error, name))
        sys.exit(exits.MISUSED)
    except (ScitqError, OSError) as error:
        say(name, _in_words(error) or type(error).__name__)
        sys.exit(exits.of(error))
    except Exception as error:
        say(name, _told(error))
        sys.exit(exits.REFUSED)
    sys.exit(code if isinstance(code, int) else exits.DONE)


def say(name: str, text: str) -> None:
    """One line on stderr."""
    line = clean(" ".join(text.split()))
    print(f"{name}: " + (line if len(line) <= SAID_CHARS else line[:SAID_CHARS] + "..."), file=sys.stderr)


def _unread() -> NoReturn:
    """Who read us has had enough. What is still to be flushed at the very end goes nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.__stdout__.fileno() if sys.__stdout__ else 1)
    sys.exit(exits.UNREAD)


def _in_words(error: ScitqError | OSError) -> str:
    """A sentence. The system's own errors come with a number that is of no use, and with the file they are about."""
    if isinstance(error, OSError) and not isinstance(error, ScitqError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error)


def _told(error: Exception) -> str:
    """What nobody foresaw: where it is, so that it can be reported."""
    database = sys.modules.get("sqlalchemy.exc")
    if database is not None and isinstance(error, database.SQLAlchemyError):
        return str(error)
    place = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{os.path.basename(place.filename)} line {place.lineno}"
    return f"scitq stumbled over itself in {where}: {type(error).__name__}: {error}"
