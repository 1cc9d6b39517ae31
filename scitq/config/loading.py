"""Where a value comes from: flags, then environment, then files, then defaults."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from scitq.config import files as config_files
from scitq.config import folders
from scitq.config.declared import Computed, Hidden, Setting
from scitq.config.settings import DECLARED, FOR_FETCH, NAMES, PATH, STORE, Settings
from scitq.errors import Malformed

MAX_VALUE_CHARS = 4_096
SHOWN_CHARS = 60
MAX_NAMED = 10


class _Given(NamedTuple):
    text: str
    source: str
    file: Path | None = None
    open_to_others: bool = False


def load(
    flags: Mapping[str, str] = MappingProxyType({}),
    environ: Mapping[str, str] | None = None,
    files: Iterable[Path] | None = None,
) -> Settings:
    """The settings as they are now. `flags` go by the names of settings; of `files`, a later one wins.

    An empty text in the environment or in a file is no value; an empty flag is a mistake. What is wrong is
    refused as `Malformed`, in one sentence that never shows a secret.
    """
    environ = os.environ if environ is None else environ
    given: dict[str, _Given] = {}
    notes: list[str] = []
    for path in folders.config_files(environ) if files is None else files:
        given |= _from_file(path, notes)
    given |= _from_environment(environ, notes)
    for name, text in flags.items():
        if name not in NAMES:
            raise Malformed(f"{name!r} is not a setting{_did_you_mean(name)}")
        given[name] = _Given(text, f"flag {NAMES[name].flag}")

    found: dict[str, Any] = {}
    for attribute, one in DECLARED.items():
        if one.name in given:
            found[attribute] = _value(one, given[one.name], environ)
        elif isinstance(one.default, Computed):
            found[attribute] = one.default.of(found, environ)
        else:
            found[attribute] = None if one.default is None else one.kind.read(one.default)
    for name in ("SCITQ_BUS_ADMIN", "SCITQ_BUS_PUBLIC"):
        if name in given and found["bus"] == ("local:",):
            raise Malformed(f"{name} ({given[name].source}) is about a broker, and SCITQ_BUS is local: set that too")
    notes += _dangers(found, given)
    sources = {name: given[name].source if name in given else "default" for name in NAMES}
    return Settings(**found, sources=MappingProxyType(sources), notes=tuple(notes))


def for_fetch(settings: Settings) -> None:
    """`scitq.fetch` stands alone and reads no settings: what it is to know is put into this process's environment."""
    for attribute in FOR_FETCH:
        if (value := getattr(settings, attribute)) is not None:
            os.environ[DECLARED[attribute].name] = str(value)


def _from_file(path: Path, notes: list[str]) -> dict[str, _Given]:
    try:
        contents = config_files.read(path)
    except PermissionError:
        # The system's file may be for the server's user alone, who gets its settings from the service manager.
        notes.append(f"{path} may not be read by this user: what it sets is not in force here")
        return {}
    if contents is None:
        return {}
    strangers = contents.lines.keys() - NAMES.keys()
    for key, line in contents.lines.items():
        if key in strangers and (_meant(key) or key.startswith("SCITQ_")):
            raise Malformed(f"{path} line {line.number}: {key} is not a setting{_did_you_mean(key)}")
    if strangers:
        named = ", ".join(sorted(strangers)[:MAX_NAMED]) + (" and others" if len(strangers) > MAX_NAMED else "")
        notes.append(f"{path} has what is no setting of scitq and is passed over: {named}")
    return {
        key: _Given(line.value, f"{path} line {line.number}", path, contents.open_to_others)
        for key, line in contents.lines.items()
        if key in NAMES and line.value
    }


def _from_environment(environ: Mapping[str, str], notes: list[str]) -> dict[str, _Given]:
    """Other programs may have variables of such names, so that a slip is noted and not refused."""
    for name in environ:
        if name.startswith("SCITQ_") and name not in NAMES and _meant(name):
            notes.append(f"{name!r} in the environment is not a setting{_did_you_mean(name)}")
    return {name: _Given(environ[name], "environment") for name in NAMES if environ.get(name)}


def _value(one: Setting, given: _Given, environ: Mapping[str, str]) -> Any:
    text = given.text.strip(" ")
    try:
        if not text or not text.isprintable() or len(text) > MAX_VALUE_CHARS:
            raise ValueError("not one line of text")
        if one.kind is PATH or (one.kind is STORE and "://" not in text):
            text = _from_home(text, environ)
            if given.file is not None and not text.startswith("/"):
                raise ValueError("one file would mean a different folder to each reader")
        return one.kind.read(text)
    except ValueError:
        short = text if len(text) <= SHOWN_CHARS else text[:SHOWN_CHARS] + "…"
        instead = f", not {short!r}" if one.hidden is Hidden.NOTHING else ""
        # `from None`: the text of a reader's error may hold the secret that this sentence leaves out.
        raise Malformed(f"{one.name} ({given.source}) must be {one.kind.words}{instead}") from None


def _from_home(text: str, environ: Mapping[str, str]) -> str:
    if text != "~" and not text.startswith("~/"):
        return text
    home = folders.home(environ)
    if home is None:
        raise ValueError("no home folder")
    return str(home) + text[1:]


def _dangers(found: Mapping[str, Any], given: Mapping[str, _Given]) -> list[str]:
    """What is allowed, and should be known to whoever starts a server."""
    notes = []
    if found["auth"] == "none":
        where = f"{found['host']} port {found['port']}"
        notes.append(f"SCITQ_AUTH is none: whoever reaches {where} can run commands on every worker")
    if any(network.prefixlen == 0 for network in found["trusted"]):
        notes.append("SCITQ_TRUSTED holds every address there is: nobody needs a token")
    for attribute, one in DECLARED.items():
        origin = given.get(one.name)
        if origin and origin.open_to_others and "***" in one.shown(found[attribute]):
            notes.append(f"{origin.source} holds a secret, and others may read the file: chmod 640 {origin.file}")
    return notes


def _meant(name: str) -> str | None:
    upper = name.upper()[:100]
    if f"SCITQ_{upper}" in NAMES:
        return f"SCITQ_{upper}"
    close = difflib.get_close_matches(upper, NAMES, 1, 0.75)
    return close[0] if close else None


def _did_you_mean(name: str) -> str:
    meant = _meant(name)
    return f"; did you mean {meant}?" if meant else ""
