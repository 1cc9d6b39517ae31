"""The programs of the archives, as far as they are asked for here: real processes that speak the real command lines.

IBM's ascp cannot be had without its licence, nor real archives of SRA without the network; so these are shell scripts
that know the documented options, refuse all others, and read from folders that their environment names. An "archive"
is a text: `SRA <run>`, then `1 …`, `2 …` (lines of either mate; `0 …` of reads without one), then `END`.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import pytest

ASCP: Final = """#!/bin/sh
# ascp: copies from $ASCP_FILES. What <file>.fails holds is how often it breaks off half way through that file.
echo "$*" >> "$ASCP_FILES/log"
resume=0
while [ $# -gt 2 ]; do
    case "$1" in
        -Q|-T) shift ;;
        -k) resume=$2; shift 2 ;;
        -l|-P) shift 2 ;;
        -i) [ -r "$2" ] || { echo "Error: cannot read the key $2" >&2; exit 1; }; shift 2 ;;
        --mode=recv|--user=?*|--host=?*) shift ;;
        *) echo "ascp: unknown option $1" >&2; exit 112 ;;
    esac
done
source="$ASCP_FILES/$1" target="$2$(basename "$1")"
[ -d "$2" ] || { echo "ascp: no folder $2" >&2; exit 1; }
[ -r "$source" ] || { echo "Error: Server aborted session: No such file or directory" >&2; exit 1; }
size=$(wc -c < "$source") have=0
if [ "$resume" = 1 ] && [ -f "$target" ]; then have=$(wc -c < "$target"); else : > "$target"; fi
left=$(cat "$source.fails" 2>/dev/null || echo 0)
if [ "$left" -gt 0 ]; then
    echo $((left - 1)) > "$source.fails"
    tail -c +$((have + 1)) "$source" | head -c $(((size - have) / 2)) >> "$target"
    echo "Session Stop  (Error: Session timeout)" >&2
    exit 1
fi
[ ! -e "$source.stalls" ] || sleep 60
echo "from $have" >> "$ASCP_FILES/log"
tail -c +$((have + 1)) "$source" >> "$target"
"""

FASTERQ_DUMP: Final = """#!/bin/sh
while [ $# -gt 1 ]; do
    case "$1" in
        --split-files) shift ;;
        --threads|--temp) shift 2 ;;
        --outdir) out=$2; shift 2 ;;
        *) echo "fasterq-dump: unknown option $1" >&2; exit 64 ;;
    esac
done
run=$(basename "$1")
mkdir -p "$out"
for mate in 1 2; do
    grep "^$mate " "$1/$run.sra" | cut -c3- > "$out/${run}_$mate.fastq"
    [ -s "$out/${run}_$mate.fastq" ] || rm "$out/${run}_$mate.fastq"
done
grep "^0 " "$1/$run.sra" | cut -c3- > "$out/$run.fastq"
[ -s "$out/$run.fastq" ] || rm "$out/$run.fastq"
"""

VDB_VALIDATE: Final = """#!/bin/sh
run=$(basename "$1")
if [ "$(head -n 1 "$1/$run.sra")" = "SRA $run" ] && [ "$(tail -n 1 "$1/$run.sra")" = END ]; then
    echo "info: Database '$run.sra' is consistent" >&2
else
    echo "err: Database '$run.sra' check failed" >&2
    exit 3
fi
"""

PREFETCH: Final = """#!/bin/sh
while [ $# -gt 1 ]; do
    case "$1" in
        --max-size) shift 2 ;;
        --output-directory) out=$2; shift 2 ;;
        *) echo "prefetch: unknown option $1" >&2; exit 64 ;;
    esac
done
[ -r "$PREFETCH_FILES/$1.sra" ] || { echo "err: $1: name not found while resolving query" >&2; exit 3; }
mkdir -p "$out/$1"
cp "$PREFETCH_FILES/$1.sra" "$out/$1/"
"""

SRA_TOOLS: Final = {"fasterq-dump": FASTERQ_DUMP, "vdb-validate": VDB_VALIDATE, "prefetch": PREFETCH}
BASICS: Final = ("sh", "cat", "wc", "head", "tail", "grep", "cut", "mkdir", "rm", "cp", "basename", "sleep", "gzip")


def archive(run: str, *mates: str) -> bytes:
    """An archive of SRA with a line for each mate; one alone is a read without a mate."""
    numbered = [f"0 {mates[0]}"] if len(mates) == 1 else [f"{number} {line}" for number, line in enumerate(mates, 1)]
    return "".join(f"{line}\n" for line in [f"SRA {run}", *numbered, "END"]).encode()


class Programs:
    """What this process and its children find on their PATH: the basics, and those that were installed."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder / "programs"
        self.folder.mkdir()
        self._monkeypatch = monkeypatch
        for name in BASICS:
            path = next(Path(place, name) for place in os.defpath.split(":") if Path(place, name).exists())
            (self.folder / name).symlink_to(path)
        monkeypatch.setenv("PATH", str(self.folder))

    def install(self, name: str, script: str) -> Path:
        (self.folder / name).write_text(script)
        (self.folder / name).chmod(0o755)
        return self.folder / name

    def install_sra_tools(self) -> None:
        for name, script in SRA_TOOLS.items():
            self.install(name, script)

    def install_ascp(self, files: Path) -> None:
        """With the key that comes with it, and the files that it can fetch."""
        self.install("ascp", ASCP)
        (self.folder / "asperaweb_id_dsa.openssh").write_text("a key")
        files.mkdir(exist_ok=True)
        self._monkeypatch.setenv("ASCP_FILES", str(files))
