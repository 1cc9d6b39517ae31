"""What may come next on a command line: a shell asks with each Tab, so nothing is loaded here that is not needed.

    python -P -m scitq.cli.complete bash 2 scitq manage ta      the words, and the number of the one to complete

prints a line for each candidate: the word, a tab, what it is; or `:files`. The commands and their options are kept in
the user's cache, made anew when scitq changes. What only a server knows is asked of it within what is left of
a third of a second; a server that is slow, away or does not want us is as good as one that knows nothing.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from threading import Timer
from typing import Any, Final, NamedTuple

import scitq

PROMPT_S: Final = 0.28
FILES: Final = ":files"
Tree = dict[str, Any]
Candidate = tuple[str, str]


class Place(NamedTuple):
    """Where the cursor is: under which command, and, where it is a value, of which option or argument."""

    path: tuple[str, ...]
    tree: Tree
    option: str | None  # its long name, when the word is its value
    arguments: int  # how many words that are no options stand before it


def main(words: list[str]) -> None:
    began = time.monotonic()
    try:
        at, line = int(words[2]), words[3:]  # behind the name of the shell
    except (IndexError, ValueError):
        return
    # Whatever it is that takes long: a Tab that is answered late is worse than one that is not.
    tree = commands()
    clock = Timer(max(0.01, PROMPT_S - (time.monotonic() - began)), os._exit, (0,))
    clock.daemon = True
    clock.start()
    try:
        found = candidates(tree, line[:at], line[at] if at < len(line) else "")
    except Exception:  # the outermost loop of a program that nobody called: a stumble at a prompt helps nobody
        return
    sys.stdout.write("".join(f"{word}\t{text}\n" if text else f"{word}\n" for word, text in found))
    sys.stdout.flush()


def candidates(tree: Tree, before: list[str], word: str) -> list[Candidate]:
    """What fits, in order; each once, and nothing that could do something to a terminal."""
    place = _place(tree, before)
    if place is None:
        return [(FILES, "")]
    if place.option is None and word.startswith("-"):
        name, equals, value = word.partition("=")
        options = {name: one["help"] for one in place.tree["options"] for name in one["names"]}
        if not equals:
            return _fitting([(name, options[name]) for name in options], word)
        found = _values(Place(place.path, place.tree, _long(place.tree, name), 0), value)
        return [(one if one == FILES else f"{name}={one}", text) for one, text in _fitting(found, value)]
    if place.option is None and place.tree["commands"]:
        if place.arguments:
            return []
        return _fitting([(name, sub["help"]) for name, sub in place.tree["commands"].items()], word)
    return _fitting(_values(place, word), word)


def _fitting(found: list[Candidate], word: str) -> list[Candidate]:
    fitting = {one: text for one, text in found if one == FILES or (one.startswith(word) and one.isprintable())}
    return [(one, "".join(char if char.isprintable() else " " for char in text)) for one, text in fitting.items()]


def _place(tree: Tree, before: list[str]) -> Place | None:
    """None: in the words of a task, which are not ours."""
    program = os.path.basename(before[0]) if before else "scitq"
    path: tuple[str, ...] = ()
    for part in program.split("-")[1:]:  # scitq-manage is scitq manage
        if part not in tree["commands"]:
            return None
        path, tree = (*path, part), tree["commands"][part]
    option: str | None = None
    arguments, options_over = 0, False
    for word in before[1:]:
        if option is not None:
            option = None
        elif word == "--":
            options_over = True
        elif word.startswith("-") and len(word) > 1 and not options_over:
            name, equals, _ = word.partition("=")
            known = next((one for one in tree["options"] if name in one["names"]), None)
            option = _long(tree, name) if known and known["value"] and not equals else None
        elif word in tree["commands"]:
            path, tree, arguments = (*path, word), tree["commands"][word], 0
        elif path[-1:] == ("launch",):
            return None
        else:
            arguments += 1
    return None if path[-1:] == ("launch",) and options_over else Place(path, tree, option, arguments)


def _long(tree: Tree, name: str) -> str:
    """The name by which an option is known here."""
    names = next((one["names"] for one in tree["options"] if name in one["names"]), [name])
    return str(max(names, key=len))


def _values(place: Place, word: str) -> list[Candidate]:
    from scitq.cli.complete_values import values

    return values(place.path, place.option, word)


# The commands, as they were when scitq was installed ----------------------------------------------------------------


def commands() -> Tree:
    """Kept in a file: loading them takes longer than a Tab may."""
    kept = _kept()
    if kept is not None:
        try:
            tree = json.loads(kept.read_bytes())
            if isinstance(tree, dict) and tree.keys() >= {"commands", "options", "help"}:
                return tree
        except (OSError, ValueError):
            pass  # then it is made, and kept
    tree = walk()
    if kept is not None:
        try:
            kept.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            new = kept.with_suffix(f".{os.getpid()}")
            new.write_text(json.dumps(tree))
            new.replace(kept)
            for other in kept.parent.glob("commands-*.json"):
                if other != kept:
                    other.unlink(missing_ok=True)
        except OSError:
            pass  # a home folder that is full or not ours: it is made again next time
    return tree


def _kept() -> Path | None:
    home = os.environ.get("HOME", "")
    folder = os.environ.get("XDG_CACHE_HOME") or (os.path.join(home, ".cache") if home else "")
    if not os.path.isabs(folder):
        return None
    newest = max(one.stat().st_mtime_ns for one in os.scandir(os.path.dirname(__file__)) if one.name.endswith(".py"))
    return Path(folder, "scitq", f"commands-{scitq.__version__}-{newest:x}.json")


def walk() -> Tree:
    """The commands as they are declared."""
    import typer

    from scitq.cli import main as program

    return _branch(typer.main.get_command(program.app))


def _branch(command: Any) -> Tree:
    options = [
        {
            "names": [name for name in (*param.opts, *param.secondary_opts) if name.startswith("-")],
            "help": _first(param.help),
            "value": not param.is_flag,
        }
        for param in command.params
        if param.param_type_name == "option" and not param.hidden
    ]
    options.append({"names": ["-h", "--help"], "help": "Show what there is.", "value": False})
    subs = {}
    for name, sub in getattr(command, "commands", {}).items():
        if sub.hidden:  # a word that is never typed: what it takes stands behind its parent
            options += _branch(sub)["options"]
        else:
            subs[name] = _branch(sub)
    return {"help": _first(command.help), "options": options, "commands": subs}


def _first(text: str | None) -> str:
    return " ".join((text or "").split("\n\n")[0].split())


if __name__ == "__main__":
    main(sys.argv)
