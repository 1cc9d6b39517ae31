"""Every verb, with wrong arguments of ten kinds: one sentence that helps, the right exit code, no traceback."""

from __future__ import annotations

from typing import Final

import pytest

from scitq.cli import exits
from tests.unit.scitq.typed import NOWHERE, VERBS, Done, Typed, Verb

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
"""Hundreds of short connections end here: when the last one's socket is collected is not what is tested."""

SAID_CHARS: Final = 1_200
HUGE: Final = "9" * 40
STEERS: Final = "\x1b[2J\x07\u202e\r\nx"
NO_LETTERS: Final = "\udcff\udcfe"
GOES_ON: Final = frozenset({"up", "server", "worker start", "manage event follow"})
"""They do not end if nothing is wrong."""
WAITS: Final = frozenset({"manage task wait"})
"""A task that another test has launched under a blank name would be waited for, and nobody runs it here."""
CHOICES: Final = frozenset({"completion install", "completion show"})
"""What is no word of theirs is found before the one that is too many."""
LOCAL: Final = frozenset(
    {
        "explain",
        "completion install",
        "completion show",
        "watch",
        "up",
        "server",
        "worker start",
        "worker doctor",
        "config show",
        "config template",
    }
)
ASKING: Final = [
    verb
    for verb in VERBS
    if verb.name.removeprefix("manage ") not in LOCAL
    and not verb.name.startswith(("manage db", "fetch"))
    and "--store" not in dict(verb.options())
]
"""They ask a server."""

every = pytest.mark.parametrize("verb", VERBS, ids=[verb.name for verb in VERBS])
asking = pytest.mark.parametrize("verb", ASKING, ids=[verb.name for verb in ASKING])


def refused(done: Done, *codes: int) -> str:
    """It ended with one of these, printed nothing, and said why, in a sentence."""
    assert done.code in codes, done
    assert not done.out, done
    return sentence(done)


def sentence(done: Done) -> str:
    """What it said on stderr: nothing that steers a terminal, and nothing that only we understand."""
    assert done.err.isprintable() or done.err.replace("\n", "").isprintable(), done
    lines = done.err.splitlines()
    assert lines and all(line.startswith("scitq") and ": " in line for line in lines), done
    assert len(done.err) <= SAID_CHARS * len(lines), done
    for bad in ("Traceback", "stumbled", "Error:", "NoneType", "object at 0x", "Exception"):
        assert bad not in done.err, done
    return done.err


def fit(done: Done) -> None:
    """It did what it was asked, or refused it in a sentence: what a value means, the server decides."""
    if done.code != exits.DONE:
        refused(done, exits.REFUSED, exits.MISUSED, exits.NOTHING)


@every
def test_an_option_that_is_none(typed: Typed, verb: Verb) -> None:
    assert "there is no option --no-such-thing" in refused(typed(*verb.path, "--no-such-thing"), exits.MISUSED)


@every
def test_a_slip_in_an_option_is_answered_with_the_one_that_is_meant(typed: Typed, verb: Verb) -> None:
    for param in verb.params:
        known = [name for name in param.opts if name.startswith("--") and len(name) > 5]
        if known and known[0] != "--help":
            slip = known[0][:-2] + known[0][-1] + "x"
            assert f"did you mean {known[0]}" in refused(typed(*verb.path, slip), exits.MISUSED)


@every
def test_a_slip_in_a_verb_is_answered_with_the_one_that_is_meant(typed: Typed, verb: Verb) -> None:
    if verb.path[0] == "worker":
        return  # what is no verb there is the server's name
    *before, last = verb.path
    assert f"did you mean '{last}'" in refused(typed(*before, last + "q"), exits.MISUSED).replace("one of ", "")


@every
def test_what_is_required_is_left_out(typed: Typed, verb: Verb) -> None:
    if verb.required():
        assert "Missing" in refused(typed(*verb.path), exits.MISUSED)
    elif verb.name not in GOES_ON:
        fit(typed(*verb.path))


@every
def test_a_word_too_many(typed: Typed, verb: Verb) -> None:
    takes_any = any(param.nargs == -1 for param in verb.params)
    if verb.name in CHOICES:
        assert "bash" in refused(typed(*verb.path, "one", "more"), exits.MISUSED)
    elif not takes_any:
        assert "too many" in refused(typed(*verb.path, *verb.required(), "one", "more"), exits.MISUSED)
    elif verb.path[-1] == "list":
        fit(typed(*verb.path, "no-such-thing"))  # a word that no task has: the list is empty
    elif verb.name not in GOES_ON | {"launch"}:
        refused(typed(*verb.path, *verb.required(), "no-such-thing"), exits.REFUSED, exits.MISUSED, exits.NOTHING)


@every
def test_a_number_that_is_none(typed: Typed, verb: Verb) -> None:
    for name, _ in [*verb.options("int"), *verb.options("float")]:
        for wrong in ("x", "", "1.5.1", "1e", "²", STEERS):
            assert name in refused(typed(*verb.path, name, wrong), exits.MISUSED)


@every
def test_a_number_that_is_far_too_large_or_negative(typed: Typed, verb: Verb) -> None:
    for name, _ in verb.options("int"):
        for wrong in (HUGE, "-" + HUGE):
            if verb.name in GOES_ON:
                refused(typed(*verb.path, name, wrong), exits.MISUSED)
            else:
                refused(typed(*verb.path, name, wrong, *verb.required()), exits.REFUSED, exits.MISUSED, exits.NOTHING)


@every
@pytest.mark.parametrize(
    "value", ["", " ", STEERS, NO_LETTERS, "x" * 20_000], ids=["empty", "blank", "steers", "bytes", "long"]
)
def test_a_text_that_is_none(typed: Typed, verb: Verb, value: str) -> None:
    for name, _ in verb.options("str"):
        if verb.name not in GOES_ON | WAITS:
            fit(typed(*verb.path, name, value, *verb.required()))


@asking
def test_a_server_that_does_not_answer(typed: Typed, verb: Verb) -> None:
    words = _likely(verb)
    assert NOWHERE in refused(typed(*words, SCITQ_SERVER=NOWHERE), exits.AWAY, exits.MISUSED)


@asking
def test_a_token_that_opens_nothing(typed: Typed, verb: Verb) -> None:
    assert "SCITQ_TOKEN" in refused(typed(*_likely(verb), SCITQ_TOKEN="of-another-server-0123456789"), exits.REFUSED)


@asking
@pytest.mark.parametrize("place", ["http://[", "host:port", "x y", "ftp://x", "host:99999", ""])
def test_an_address_that_is_none(typed: Typed, verb: Verb, place: str) -> None:
    words = ["manage", "-s", place, *_likely(verb)[1:]] if verb.path[0] == "manage" else _likely(verb)
    settings = {} if verb.path[0] == "manage" else {"SCITQ_SERVER": place}
    if place or verb.path[0] == "manage":
        refused(typed(*words, **settings), exits.REFUSED, exits.MISUSED)


@asking
def test_what_is_not_there(typed: Typed, verb: Verb) -> None:
    for option, word in (("-i", "999999"), ("-n", "no-such-thing"), ("-x", "999999")):
        if option in [name for param in verb.params for name in param.opts] and verb.path[-1] not in ("list", "launch"):
            rest = [] if option in verb.required() else verb.required()
            done = typed(*verb.path, option, word, *rest, *CHANGES.get(verb.name, ()))
            said = refused(done, exits.MISUSED if "give one" in done.err else exits.NOTHING)
            assert "there is no" in said or "give one" in said, said


CHANGES: Final = {"manage task update": ("--priority", "3"), "manage worker update": ("-C", "3")}


def _likely(verb: Verb) -> list[str]:
    """Words that a server would be asked with."""
    words = [*verb.path, *verb.required(), *CHANGES.get(verb.name, ())]
    names = [name for param in verb.params for name in param.opts]
    if verb.path[-1] not in ("list", "launch", "signal", "follow", "status") or verb.name == "manage worker signal":
        if "-i" in names:
            words += ["-i", "999999"]
        elif "-n" in names and "-n" not in words:
            words += ["-n", "no-such-thing"]
    if "--all" in names:
        words.append("--all")
    if verb.name == "manage execution signal":
        words += ["-x", "999999"]
    return words
