"""Logs that somebody has are read by today's code, and mean what they meant.

When an event is added or gets a new version, add it to a journal here (lines that are there stay as they are):

    python -m tests.golden.add v0.jsonl task-1 task-paused '{"task":1}'

When an upcaster changes the meaning of an old line on purpose, or the engine keeps one fact more, the same command
without an event writes the facts anew: look at the difference.
"""

from __future__ import annotations

import re
from hashlib import sha256
from pathlib import Path

import pytest

from scitq.domain import snapshot, wire
from scitq.domain.envelope import read_header, seal
from scitq.domain.state import State
from scitq.store.chain import verify
from tests.golden.journals import JOURNALS, facts_file, facts_of, line, read, written

EVENTS = Path(__file__).resolve().parents[2] / "docs" / "events.md"
each_journal = pytest.mark.parametrize("journal", JOURNALS, ids=lambda path: str(path.name))


def test_there_is_a_golden_journal() -> None:
    assert JOURNALS


@each_journal
def test_an_old_log_means_today_what_it_meant(journal: Path) -> None:
    assert written(facts_of(read(journal))).decode() == facts_file(journal).read_text()


@each_journal
def test_an_old_log_is_still_a_chain_and_every_line_is_what_is_written_today(journal: Path) -> None:
    log = read(journal)
    verify(log)
    assert [line(envelope) for envelope in log] == journal.read_bytes().splitlines()


@each_journal
def test_what_seals_an_old_event_again_gives_the_very_same_bytes(journal: Path) -> None:
    previous = bytes(32)
    for envelope in read(journal):
        if envelope.payload is not None:
            assert seal(previous, **read_header(envelope.header)._asdict(), payload=envelope.payload) == envelope
        previous = envelope.hash


@each_journal
def test_an_event_of_todays_version_is_written_as_it_was_stored(journal: Path) -> None:
    for envelope in read(journal):
        event = wire.recorded(envelope).event
        if envelope.payload is not None and envelope.schema == wire.CURRENT[envelope.type][0]:
            assert not isinstance(event, wire.Erased)
            assert wire.decode(*wire.name_of(event), wire.encode(event)) == event


@each_journal
def test_snapshots_are_thrown_away_when_a_log_means_something_else(journal: Path) -> None:
    """What an old log folds to, event by event, with the layout of the snapshots in which that may be kept."""
    state, seen = State(), sha256()
    for envelope in read(journal):
        state.fold([wire.recorded(envelope)])
        seen.update(written(state.facts()))
    said = f"{snapshot.LAYOUT} {seen.hexdigest()}\n"
    assert said == journal.with_suffix(".layout").read_text(), (
        "events mean something else than they did, and snapshots that others have still say the old: raise LAYOUT in "
        f"domain/snapshot.py, and write {said.split()[1]} behind it into {journal.stem}.layout"
    )


@each_journal
def test_a_snapshot_anywhere_in_an_old_log_changes_nothing(journal: Path) -> None:
    log = [wire.recorded(envelope) for envelope in read(journal)]
    for cut in range(len(log) + 1):
        loaded = snapshot.load(snapshot.dump(State().fold(log[:cut])))
        assert loaded.fold(log[cut:]).facts() == facts_of(read(journal))


def test_every_event_of_every_version_is_in_a_golden_journal() -> None:
    kept = {(e.type, e.schema) for journal in JOURNALS for e in read(journal) if e.payload is not None}
    wanted = {(name, version) for name, (latest, _) in wire.CURRENT.items() for version in range(1, latest + 1)}
    assert kept == wanted, "add the missing with `python -m tests.golden.add`"


def test_an_erased_event_is_in_a_golden_journal() -> None:
    assert any(envelope.payload is None for journal in JOURNALS for envelope in read(journal))


def test_every_event_is_explained_in_a_sentence_without_names_of_classes() -> None:
    for name, (_, cls) in wire.CURRENT.items():
        assert cls.__doc__ and cls.__doc__.strip().endswith((".", "!")), name
        assert not re.search(r"\b[A-Z][a-z]+[A-Z]\w+", cls.__doc__), f"{name}: {cls.__doc__}"
