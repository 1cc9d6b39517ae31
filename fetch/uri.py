"""A place of data: `protocol[@option…]://path[|action…]`, parsed once.

    s3://bucket/reads/                      a folder: it ends with a slash
    https@aria2://host/db.tar.gz|untar      fetched with aria2, then extracted
    s3://bucket/db.tgz|untar|mv:db          actions follow one another

A `|` in a name is written `%7C` (and a `%7C` in a name `%257C`): nothing else is encoded here.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final, NoReturn, Self
from urllib.parse import unquote

from scitq.fetch.errors import BadURI, UnsupportedError

OPTIONS: Final = ("aria2", "aspera", "filter_r1", "ftp", "sra")
ACTIONS: Final = ("gunzip", "mv", "untar", "unzip")
ON_HOSTS: Final = frozenset({"http", "https", "ftp"})
"""Protocols whose path begins with the name of a host."""
OF_RUNS: Final = ("run+fastq", "run+submitted")
"""Protocols whose path is the accession of sequencing runs."""

_PROTOCOL: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9+._-]*")
_HOST: Final = re.compile(r"(?:[^/?#]*@)?(?:\[[0-9A-Fa-f:.]+\]|[^\s\x00-\x1f@/:?#\[\]\\]+)(?::(?P<port>[0-9]{1,5}))?")
_LIKE_A_PROTOCOL: Final = re.compile(r"([A-Za-z][A-Za-z0-9+]*(?:@\w+)*)(?:::?/*|/{2,})(?=[^:/])")
_PIPE: Final = re.compile(r"%((?:25)*)7([Cc])")
_ACCESSION: Final = re.compile(r"[A-Z]{3,6}[0-9]{1,12}/?")
_FASP: Final = re.compile(r"(?:[\w.+-]+@)?[A-Za-z0-9][A-Za-z0-9.-]*(?::/?|/)(?=[^/])")
_WHO: Final = re.compile(r"^[^/?#]*@")
_SHOWN: Final = 40


@dataclass(frozen=True, slots=True)
class Action:
    """What is done with the files once they are fetched: a name, and the argument of those that have one."""

    name: str
    argument: str | None = None

    def __str__(self) -> str:
        return self.name if self.argument is None else f"{self.name}:{escaped(self.argument)}"


@dataclass(frozen=True, slots=True, init=False, repr=False)
class URI:
    """A value: equal when the same place is meant in the same way. `URI(text)` parses, `str(uri)` writes it again."""

    protocol: str
    options: tuple[str, ...]
    path: str
    actions: tuple[Action, ...]

    def __init__(self, text: str | URI) -> None:
        parts = text._parts if isinstance(text, URI) else _parsed(text)
        self._set(*parts)

    @classmethod
    def of_file(cls, path: str | bytes | os.PathLike[str]) -> Self:
        """A place on this machine, whatever bytes are in its name. A final slash is kept."""
        name = os.fsdecode(path)
        whole = os.path.abspath(name)
        return cls._of("file", (), whole + "/" if name.endswith("/") and whole != "/" else whole, ())

    @property
    def is_folder(self) -> bool:
        return self.path.endswith("/")

    @property
    def name(self) -> str:
        """The last word of the path: what a copy of it is called."""
        path = self.path
        if self.protocol in ("http", "https"):
            path = unquote(re.split(r"[?#]", path, maxsplit=1)[0], errors="surrogateescape")
        return path.rstrip("/").rpartition("/")[2]

    @property
    def bare(self) -> Self:
        """The same without actions: what is to be fetched before they begin."""
        return self._of(self.protocol, self.options, self.path, ())

    @property
    def as_folder(self) -> Self:
        return self if self.is_folder else self._of(self.protocol, self.options, self.path + "/", self.actions)

    @property
    def written_path(self) -> str:
        """The path as it stands in the text."""
        return escaped(self.path)

    @property
    def shown(self) -> str:
        """For messages and logs: without password, and without what follows a `?`, which may hold a signature."""
        path = self.written_path
        if self.protocol in ON_HOSTS | {"fasp"}:
            path = _WHO.sub("***@", path)
        if self.protocol in ("http", "https"):
            path = re.sub(r"\?.*", "?***", path, flags=re.DOTALL)
        return self._written(path)

    def child(self, name: str) -> Self:
        """A place below this one; `name` is taken as it is, also with a `|` in it."""
        return self._of(self.protocol, self.options, self.as_folder.path + name, self.actions)

    def __truediv__(self, more: str) -> Self:
        """Text is joined: it may end with actions."""
        if not isinstance(more, str):
            return NotImplemented
        if "://" in more.partition("|")[0]:
            raise UnsupportedError(f"{_short(more)} is a place of its own: only the rest of a path can follow /")
        if self.actions:
            raise UnsupportedError("actions come last: nothing can be joined behind them")
        return type(self)(self._written(f"{self.written_path.rstrip('/')}/{more.lstrip('/')}"))

    def __add__(self, more: str) -> str:
        return str(self) + more

    def __str__(self) -> str:
        return self._written(self.written_path)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.shown!r})"

    @property
    def _parts(self) -> tuple[str, tuple[str, ...], str, tuple[Action, ...]]:
        return self.protocol, self.options, self.path, self.actions

    def _written(self, path: str) -> str:
        return "@".join((self.protocol, *self.options)) + "://" + "|".join((path, *map(str, self.actions)))

    def _set(self, protocol: str, options: tuple[str, ...], path: str, actions: tuple[Action, ...]) -> None:
        for name, value in zip(URI.__slots__, (protocol, options, path, actions), strict=True):
            object.__setattr__(self, name, value)

    @classmethod
    def _of(cls, protocol: str, options: tuple[str, ...], path: str, actions: tuple[Action, ...]) -> Self:
        made = cls.__new__(cls)
        made._set(protocol, options, path, actions)
        return made


def _parsed(text: str) -> tuple[str, tuple[str, ...], str, tuple[Action, ...]]:
    head, mark, rest = text.partition("://")
    if not mark or "|" in head:
        _no_mark(text)
    if (at := text.find("\0")) >= 0:
        raise BadURI("no name can hold a NUL", at)
    protocol, *options = head.split("@")
    _check_protocol(protocol)
    position = len(protocol) + 1
    for number, option in enumerate(options):
        if option not in OPTIONS:
            raise BadURI(f"there is no option {_short(option)}", position, meant(option, OPTIONS))
        if option in options[:number]:
            raise BadURI(f"the option {option} is given twice", position)
        position += len(option) + 1
    position = len(head) + len(mark)
    path, *actions = rest.split("|")
    _check_path(protocol, path, position)
    position += len(path) + 1
    found = []
    for action in actions:
        found.append(_action(action, position))
        position += len(action) + 1
    return protocol, tuple(options), _unescaped(path), tuple(found)


def _no_mark(text: str) -> NoReturn:
    if like := _LIKE_A_PROTOCOL.match(text):
        raise BadURI(":// is missing behind the protocol", like.end(1), f"{like[1]}://…")
    if text.startswith("/"):
        raise BadURI("a protocol is missing", 0, "file://" + _short(text, quoted=False))
    raise BadURI("a protocol is missing, as in s3://bucket/file or file:///folder/file", 0)


def _check_protocol(protocol: str) -> None:
    if not protocol:
        raise BadURI("a protocol is missing before ://", 0)
    fits = _PROTOCOL.match(protocol)
    end = fits.end() if fits else 0
    if end < len(protocol):
        raise BadURI(f"a protocol has letters, digits and + . _ - in its name, not {protocol[end]!r}", end)


def _check_path(protocol: str, path: str, position: int) -> None:
    if not path:
        raise BadURI("nothing follows ://", position)
    if protocol == "file" and not path.startswith("/"):
        raise BadURI("the name of a file begins with a slash", position, "file:///" + _short(path, quoted=False))
    if protocol in OF_RUNS and not _ACCESSION.fullmatch(path):
        upper = path.strip().upper()
        reason = "one accession of a run, a sample or a study is expected, as in run+fastq://ERR3857002"
        raise BadURI(reason, position, f"{protocol}://{upper}" if _ACCESSION.fullmatch(upper) else None)
    if protocol == "fasp" and not _FASP.match(path):
        raise BadURI("user@host:path is expected, as in fasp://era-fasp@fasp.sra.ebi.ac.uk:/vol1/file", position)
    if protocol in ON_HOSTS:
        host = _HOST.match(path)
        if host is None or path[host.end() : host.end() + 1] not in ("", "/", "?", "#"):
            raise BadURI("the name of a host is expected", position if host is None else position + host.end())
        if host["port"] is not None and not 0 < int(host["port"]) < 65536:
            raise BadURI("there is no such port", position + host.start("port"))


def _action(text: str, position: int) -> Action:
    name, colon, written = text.partition(":")
    if name not in ACTIONS:
        raise BadURI(f"there is no action {_short(name)}", position, meant(name, ACTIONS) or _spaced(text))
    if name != "mv":
        if colon:
            raise BadURI(f"{name} takes nothing behind it", position + len(name), name)
        return Action(name)
    argument = _unescaped(written).rstrip("/")
    at = position + len(name) + len(colon)
    if not colon or not argument:
        raise BadURI("mv needs the name of a folder", at, "mv:folder")
    if any(part in ("", ".", "..") for part in argument.split("/")):
        raise BadURI("mv leads to a folder below, so no part of its name is empty, . or ..", at)
    return Action(name, argument)


def _spaced(text: str) -> str | None:
    """`mv folder`, as one would write the command."""
    name, space, argument = text.strip().partition(" ")
    return f"mv:{_short(argument, quoted=False)}" if name == "mv" and space and argument else None


def meant(word: str, known: Sequence[str]) -> str | None:
    """The word that may have been meant."""
    close = get_close_matches(word[:_SHOWN].strip().lower(), known, 1)
    return close[0] if close else None


def _short(text: str, *, quoted: bool = True) -> str:
    text = text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
    shown = repr(text)
    return shown if quoted else shown[1:-1]


def escaped(name: str) -> str:
    """A name as it stands in the text of a URI."""
    return _PIPE.sub(r"%25\g<1>7\g<2>", name).replace("|", "%7C")


def _unescaped(written: str) -> str:
    return _PIPE.sub(lambda found: f"%{found[1][2:]}7{found[2]}" if found[1] else "|", written)
