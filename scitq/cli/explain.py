"""scitq explain: what a refusal or an error means, and what to do about it."""

from __future__ import annotations

import difflib
import re
import textwrap
from typing import Annotated

import typer

from scitq.cli.tables import AsJson, dump

WIDTH = 100


def explain(
    word: Annotated[str | None, typer.Argument(metavar="WORD", help="Its word, or the name of its class.")] = None,
    json: AsJson = False,
) -> None:
    """Explain what a refusal or an error means, and what to do about it; without a word, list all of them."""
    from scitq.explained import EXPLAINED
    from scitq.trouble import Trouble

    if word is None and json:
        dump({"rows": [one._asdict() for one in EXPLAINED.values()]}, "scitq.troubles/1")
        return
    if word is None:
        wide = max(map(len, EXPLAINED))
        for one in EXPLAINED.values():
            first = one.means.partition(": ")[0].partition(". ")[0].rstrip(".")
            print(f"{one.word:{wide}}  {textwrap.shorten(first, WIDTH - wide - 2, placeholder=' …')}")
        return
    by_name: dict[str, Trouble] = {one.error.lower(): one for one in EXPLAINED.values() if one.error}
    for one in EXPLAINED.values():  # `Quota` for short, unless `scitq.errors` has one of that name
        by_name.setdefault((one.error or one.word).rpartition(".")[2].lower(), one)
    asked = word.strip().rpartition("#")[2].lower()  # so that what `help` says may be given as it is
    found = EXPLAINED.get(asked) or by_name.get(asked)
    if found is None:
        near = difflib.get_close_matches(asked, [*EXPLAINED, *by_name], 1)
        hint = f"did you mean {near[0]}?" if near else "scitq explain lists them"
        raise typer.BadParameter(f"there is no entry {word[:100]!r}: {hint}", param_hint="'WORD'")
    if json:
        dump(found._asdict(), "scitq.trouble/1")
        return
    also = [f"HTTP {found.status}"] if found.status else []
    if found.error:
        also.append(found.error if "." in found.error else f"scitq.errors.{found.error}")
    print(f"{found.word} ({', '.join(also)})\n")
    for text in ([f"Said as: {found.said}"] if found.said else []) + [found.means, f"What to do: {found.remedy}"]:
        print(textwrap.fill(re.sub(r"`", "", text), WIDTH, break_long_words=False, break_on_hyphens=False) + "\n")
