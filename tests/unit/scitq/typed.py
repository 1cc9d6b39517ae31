"""Commands as a user types them, in this process, to a real server on a socket."""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple
from unittest import mock

import typer

from scitq.cli import client, main, program
from tests.unit.web.whole import TOKEN, Whole, whole

NOWHERE: Final = "127.0.0.1:9"


class Done(NamedTuple):
    words: tuple[str, ...]
    code: int
    out: str
    err: str


class Verb(NamedTuple):
    """A command that does something: the words that name it, and what it takes."""

    path: tuple[str, ...]
    params: tuple[Any, ...]

    @property
    def name(self) -> str:
        return " ".join(self.path)

    def options(self, kind: str | None = None) -> Iterator[tuple[str, Any]]:
        """Those that take a value, of a type (int, float, str); and their names."""
        for param in self.params:
            takes = param.param_type_name == "option" and not getattr(param, "is_flag", False)
            if takes and (kind is None or kind in _type(param)):
                yield param.opts[0], param

    def required(self) -> list[str]:
        """Words for what it cannot do without."""
        words: list[str] = []
        for param in self.params:
            if param.required:
                value = "1" if "int" in _type(param) else "nothing-like-it"
                words += [param.opts[0], value] if param.param_type_name == "option" else [value]
        return words


def _type(param: Any) -> str:
    return str(param.type_descriptor.annotation)


def _verbs(command: Any, *path: str) -> Iterator[Verb]:
    below = getattr(command, "commands", None)
    if below is None:
        yield Verb(path, tuple(command.params))
        return
    for name, one in below.items():
        yield from _verbs(one, *path, name)


VERBS: Final = list(_verbs(typer.main.get_command(main.app)))


class Typed:
    """`server` is where the commands go."""

    def __init__(self, server: Whole, port: int, home: Path) -> None:
        self.server, self.place, self._home = server, f"127.0.0.1:{port}", home

    def __call__(self, *words: str, typing: str | None = None, **settings: str) -> Done:
        """Type it; `typing` is what is answered in a terminal."""
        out, err = _Text(), _Text()
        environ = {"HOME": str(self._home), "SCITQ_SERVER": self.place, "SCITQ_TOKEN": TOKEN, **settings}
        into = io.StringIO(typing or "")
        into.isatty = lambda: typing is not None  # type: ignore[method-assign]
        code = 0
        with (
            mock.patch.dict("os.environ", environ, clear=True),
            mock.patch.object(sys, "argv", ["scitq", *words]),
            mock.patch.object(sys, "stdin", into),
            mock.patch.object(client, "PATIENCE_S", 0.05),
            contextlib.chdir(self._home),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            try:
                program.run(main.app, "scitq")
            except SystemExit as end:
                code = int(end.code or 0)
        return Done(words, code, out.text(), err.text())


class _Text(io.TextIOWrapper):
    def __init__(self) -> None:
        super().__init__(io.BytesIO(), encoding="utf-8", errors="backslashreplace", write_through=True)

    def text(self) -> str:
        self.flush()
        content: bytes = self.buffer.getvalue()  # type: ignore[attr-defined]
        return content.decode()


@contextmanager
def typing_to_a_server(folder: Path) -> Iterator[Typed]:
    with whole(folder / "store") as server, server.listening() as port:
        yield Typed(server, port, folder)
