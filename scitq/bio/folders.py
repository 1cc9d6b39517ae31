"""The samples in a folder, wherever it is: told by the folders in it, or by how the names of its files begin."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

from scitq.bio.samples import BioException, Run, Samples, grouped
from scitq.fetch import list_content

ENDINGS: Final = (".fastq", ".fq.gz", ".fq")
MOST_IN_A_FOLDER: Final = 3.0
"""With more files on average, a folder holds more than one sample."""
FEWEST_OF_A_NAME: Final = 1.5
"""So many files of a sample on average, before a beginning of names is believed to be one."""
_MATE: Final = re.compile(r"(?P<sample>.+?)(?P<mark>[._-]R?)(?P<mate>[12])(?P<rest>(?:_001)?)", re.DOTALL)
_PART: Final = re.compile(r"[._ -]+")


def uri_get_samples(uri: str, ending: str = ".fastq.gz", alternate_endings: Sequence[str] = ENDINGS) -> Samples:
    """All files with that ending by their sample; where there are none, those with the first other ending that has any.

    In `reads/S1/a_1.fastq.gz` the sample is `S1`, in `reads/S1_1.fastq.gz` it is `S1`. Each file is a `Run` of its own.
    """
    everything = [item for item in list_content(uri) if item.type == "file"]
    for end in (ending, *alternate_endings):
        if files := [item for item in everything if item.rel_name.endswith(end)]:
            break
    else:
        raise BioException(f"{uri} has no files that end with {ending}, nor with {', '.join(alternate_endings)}")
    stems = [item.rel_name.removesuffix(end) for item in files]
    paired = _paired(stems)
    names = _by_folder(stems) or _by_name(stems, paired)
    return grouped(
        Run(
            sample_accession=name,
            uri=item.name,
            library_layout="PAIRED" if stem in paired else "SINGLE",
            size=item.size,
        )
        for item, stem, name in zip(files, stems, names, strict=True)
    )


def count(items: Iterable[str], ending: str) -> int:
    """How many end so."""
    return sum(item.endswith(ending) for item in items)


def _paired(stems: list[str]) -> set[str]:
    """Those that have a mate: `S1_1` beside `S1_2`; or all, if half of them end with 1 and half with 2."""
    there = set(stems)
    found = {stem for stem in stems if (mate := _MATE.fullmatch(stem)) and _other(mate) in there}
    if not found and count(stems, "1") == count(stems, "2") == len(stems) / 2:
        return there
    return found


def _other(mate: re.Match[str]) -> str:
    return f"{mate['sample']}{mate['mark']}{'2' if mate['mate'] == '1' else '1'}{mate['rest']}"


def _by_folder(stems: list[str]) -> list[str] | None:
    """The folders of the files, unless these say nothing: too many files in each, or in some far more than in most."""
    folders = [os.path.dirname(stem) for stem in stems]
    sizes = Counter(folders)
    average = len(stems) / len(sizes)
    if "" in sizes or average > MOST_IN_A_FOLDER or max(sizes.values()) > 2 * average:
        return None
    top = os.path.commonpath(folders)
    return [os.path.basename(one) if one == top else one.removeprefix(top).lstrip("/") for one in folders]


def _by_name(stems: list[str], paired: set[str]) -> list[str]:
    """What stands before the mate; where names have no such mark, the longest beginning that enough files share.

    Of files without mates a beginning ends where a word does: else `S1` and `S2` were two files of a sample `S`.
    """
    bare = [os.path.basename(stem) for stem in stems]
    mates = [_MATE.fullmatch(name) if stem in paired else None for name, stem in zip(bare, stems, strict=True)]
    if any(mates):
        return [mate["sample"] if mate else name for mate, name in zip(mates, bare, strict=True)]
    ends = [_ends_of(name, words=not paired) for name in bare]
    for length in range(max(map(len, bare)), 0, -1):
        begin = [
            name[: max((end for end in at if end <= length), default=len(name))]
            for name, at in zip(bare, ends, strict=True)
        ]
        if len(bare) / len(set(begin)) >= FEWEST_OF_A_NAME:
            return begin
    return bare


def _ends_of(name: str, *, words: bool) -> list[int]:
    """Where a beginning of the name may end."""
    return [part.start() for part in _PART.finditer(name) if part.start()] if words else list(range(1, len(name) + 1))
