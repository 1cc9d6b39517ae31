"""scitq completion: the Tab key knows commands, options, and what the server has."""

from __future__ import annotations

import os
import shlex
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import typer

from scitq.cli import program
from scitq.cli.tables import AsJson, dump
from scitq.errors import Rejected

PROGRAMS: Final = ("scitq", "scitq-fetch", "scitq-launch", "scitq-manage", "scitq-server", "scitq-worker")
BASH: Final = r"""# Completion of scitq for bash; made by: scitq completion show bash
_scitq() {
    local words=() found=() texts=() glue="" quote="" part word text answer strip="" i
    for (( i = 0; i <= COMP_CWORD; i++ )); do  # bash cuts words at = and :
        part=${COMP_WORDS[i]}
        if (( i > 1 )) && [[ $glue || $part == [=:]* ]]; then words[-1]+=$part; else words+=("$part"); fi
        [[ $part == *[=:] ]] && glue=1 || glue=""
    done
    part=${COMP_WORDS[COMP_CWORD]}
    [[ $part == [=:] ]] && part=""
    [[ ${words[-1]} == "$part" ]] || strip=${words[-1]%"$part"}
    case ${words[-1]} in
        [\"\']*) quote=${words[-1]:0:1}; words[-1]=${words[-1]:1} ;;
        *) words[-1]=${words[-1]//\\/} ;;
    esac
    answer=$(PYTHON -P -m scitq.cli.complete bash $(( ${#words[@]} - 1 )) "${words[@]}" 2>/dev/null </dev/null)
    COMPREPLY=()
    [[ $answer ]] || return 0
    while IFS=$'\t' read -r word text; do
        if [[ $word == :files ]]; then compopt -o default; return 0; fi
        # What others have named must not be run by whoever presses Enter.
        if [[ ! $quote ]]; then printf -v word %q "$word"
        elif [[ $word == *[!A-Za-z0-9\ _./@%+,=:-]* ]]; then continue; fi
        found+=("${word#"$strip"}") texts+=("$text")
    done <<< "$answer"
    if (( ${#found[@]} > 1 )) && [[ $COMP_TYPE == 63 || $COMP_TYPE == 33 ]]; then  # they are only looked at
        for i in "${!found[@]}"; do
            text=${texts[i]:0:$(( COLUMNS > 40 ? COLUMNS - 24 : 20 ))}
            [[ $text ]] && printf -v 'found[i]' '%-12s  (%s)' "${found[i]}" "$text"
        done
    fi
    COMPREPLY=("${found[@]}")
}
complete -o nosort -F _scitq PROGRAMS
"""
ZSH: Final = r"""# Completion of scitq for zsh; made by: scitq completion show zsh
_scitq() {
    local -a found lines
    local line word text
    lines=("${(@f)$(PYTHON -P -m scitq.cli.complete zsh $(( CURRENT - 1 )) "${(@Q)words}" 2>/dev/null </dev/null)}")
    for line in $lines; do
        word=${line%%$'\t'*} text=""
        [[ $line == *$'\t'* ]] && text=${line#*$'\t'}
        if [[ $word == :files ]]; then _files; return; fi
        word=${word//\\/\\\\}
        found+=("${word//:/\\:}${text:+:$text}")
    done
    (( $#found )) && _describe -V scitq found
}
(( $+functions[compdef] )) || { autoload -Uz compinit && compinit; }
compdef _scitq PROGRAMS
"""
FISH: Final = r"""# Completion of scitq for fish; made by: scitq completion show fish
function __scitq
    set -l words (commandline -opc)
    set -l found (PYTHON -P -m scitq.cli.complete fish (count $words) $words (commandline -ct) 2>/dev/null </dev/null)
    if test "$found" = ":files"
        __fish_complete_path (commandline -ct)
    else
        printf '%s\n' $found
    end
end
for program in PROGRAMS
    complete -c $program -f -a '(__scitq)'
end
"""


class Shell(StrEnum):
    bash = "bash"
    zsh = "zsh"
    fish = "fish"


SCRIPTS: Final = {Shell.bash: BASH, Shell.zsh: ZSH, Shell.fish: FISH}
Which = Annotated[Shell | None, typer.Argument(help="Which shell. [default: yours]", show_default=False)]

app = program.app("Have the Tab key complete commands, options, tasks, batches and workers.")


@app.command("show")
def completion_show(shell: Which = None) -> None:
    """Print what a shell has to read for it."""
    sys.stdout.write(script(shell or _own()))


@app.command("install")
def completion_install(shell: Which = None, json: AsJson = False) -> None:
    """Have your shell read it at each start."""
    from scitq.cli.complete import commands

    shell = shell or _own()
    home = _folder("HOME", None)
    if shell is Shell.fish:
        file = _folder("XDG_CONFIG_HOME", home / ".config") / "fish" / "conf.d" / "scitq.fish"
    else:
        file = _folder("XDG_DATA_HOME", home / ".local" / "share") / "scitq" / f"completion.{shell}"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(script(shell))
    commands()  # so that the first Tab is not the one that waits
    if shell is not Shell.fish:
        start = (_folder("ZDOTDIR", home) if shell is Shell.zsh else home) / f".{shell}rc"
        line = f"source {shlex.quote(str(file))}"
        text = start.read_text(errors="surrogateescape") if start.exists() else ""
        if line not in text.splitlines():
            with start.open("a") as to:
                to.write(("" if not text or text.endswith("\n") else "\n") + line + "\n")
    if json:
        dump({"shell": shell, "file": str(file)}, "scitq.installed/1")
        return
    print(f"Installed in {file}. It works in the next {shell} that you start; here: source {shlex.quote(str(file))}")


def script(shell: Shell) -> str:
    """What the shell reads; it asks the Python that this is."""
    return SCRIPTS[shell].replace("PYTHON", shlex.quote(sys.executable)).replace("PROGRAMS", " ".join(PROGRAMS))


def _own() -> Shell:
    name = os.path.basename(os.environ.get("SHELL", ""))
    if name not in list(Shell):
        raise Rejected(f"say which shell: {', '.join(Shell)}" + (f"; yours is {name}" if name else ""))
    return Shell(name)


def _folder(variable: str, other: Path | None) -> Path:
    given = os.environ.get(variable, "")
    if os.path.isabs(given):
        return Path(given)
    if other is None:
        raise Rejected("this user has no home folder: set HOME")
    return other
