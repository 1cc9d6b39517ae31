"""What agents say of themselves: that they are there, and what they hold."""

from __future__ import annotations

from dataclasses import replace

from scitq.domain import worker as workers
from scitq.domain.messages import (
    AgentHello,
    Cancel,
    Goodbye,
    Heartbeat,
    Obey,
    SayHello,
    ToAgent,
    Unwelcome,
    Welcome,
)
from scitq.domain.worker import NoteContact, NoteObeyed, Worker
from scitq.errors import Rejected
from scitq.handlers.actions import OnWorker
from scitq.handlers.contacts import Contact
from scitq.handlers.leases import OFFLINE_AFTER_S, all_taken_back, compare
from scitq.handlers.overlay import Overlay, Stumbled, ToWorker, settings_of


def take_hello(turn: Overlay, message: AgentHello) -> None:
    """An agent connects: as a worker that is known by its name, or as a new one."""
    state, hello = turn.state, message.hello
    if message.log and turn.contacts.log and message.log != turn.contacts.log:
        words = "what this agent holds was given to it by a server with another log: it begins anew"
        turn.outcome.messages.append(ToWorker(0, hello.incarnation, Unwelcome(words, True), message.reply_to))
        return
    known = state.names.get(hello.name)
    id = known or state.last_worker + 1
    turn.on_behalf(f"worker:{id}")
    if known is not None:
        was = state.workers[known]
        silent = turn.contacts.silent_for(known, turn.at.steady) / 1_000_000
        silent_long = workers.NoteSilence(lost=False)
        if was.incarnation != hello.incarnation and was.contact == "online" and silent > OFFLINE_AFTER_S:
            turn.guarded("agents.hello", workers.stream(known), turn.do, OnWorker(known, silent_long))
    try:
        turn.whole(_declare, turn, known, replace(hello, worker=id))
    except (Rejected, Stumbled) as refusal:
        elsewhere = [Cancel(id) for id in message.held if id not in state.executions]  # and must not go on there
        said: list[ToAgent] = [Unwelcome(str(refusal)), *elsewhere]
        turn.outcome.messages += [ToWorker(0, hello.incarnation, each, message.reply_to) for each in said]
        return
    worker = state.workers[id]
    contact = heard(turn, worker)
    welcome = Welcome(id, worker.incarnation, contact.applied, turn.contacts.log, gives_leave=True)
    turn.outcome.messages.append(ToWorker(id, worker.incarnation, welcome, message.reply_to))
    turn.say(id, settings_of(worker))


def _declare(turn: Overlay, known: int | None, hello: workers.Hello) -> None:
    for event in workers.decide(turn.state.workers.get(known) if known else None, hello):
        turn.record(event)


def take_heartbeat(turn: Overlay, message: Heartbeat) -> None:
    """An agent lives: compare what it holds with what it should hold, both ways."""
    worker = known_worker(turn, message.worker, message.incarnation)
    if worker is None:
        return
    heard(turn, worker)
    turn.on_behalf(f"worker:{worker.id}")
    if worker.orders:
        turn.guarded(
            "agents.orders", workers.stream(worker.id), turn.do, OnWorker(worker.id, NoteObeyed(message.obeyed))
        )
        for number, order in turn.state.workers[worker.id].orders:
            turn.say(worker.id, Obey(number, order))
    actions, messages = compare(turn.state, worker, message.held)
    for action in actions:
        turn.guarded("leases.compare", workers.stream(worker.id), turn.do, action)
    for each in messages:
        turn.say(worker.id, each)
    if message.settings != turn.state.workers[worker.id].version:
        turn.say(worker.id, settings_of(turn.state.workers[worker.id]))


def take_goodbye(turn: Overlay, message: Goodbye) -> None:
    """An agent ends in order: it is offline at once, and what the log says it holds goes back."""
    worker = known_worker(turn, message.worker, message.incarnation)
    if worker is None:
        return
    turn.on_behalf(f"worker:{worker.id}")
    gone = [OnWorker(worker.id, workers.NoteSilence(lost=False))]
    for action in (*gone, *all_taken_back(turn.state, worker.id, "the worker was stopped")):
        turn.guarded("agents.goodbye", workers.stream(worker.id), turn.do, action)


def known_worker(turn: Overlay, id: int, incarnation: str) -> Worker | None:
    """The worker that speaks; one that is not known is asked to introduce itself."""
    worker = turn.state.workers.get(id)
    if worker is None or worker.incarnation != incarnation:
        turn.outcome.messages.append(ToWorker(id, incarnation, SayHello()))
        return None
    return worker


def heard(turn: Overlay, worker: Worker) -> Contact:
    """The worker was heard: it is online, if it was not."""
    mark = turn.state.marks.get(worker.id)
    applied = mark.sequence if mark is not None and mark.incarnation == worker.incarnation else 0
    contact = turn.contacts.heard(worker.id, worker.incarnation, applied, turn.at.steady)
    if worker.contact != "online":
        turn.on_behalf(f"worker:{worker.id}")
        turn.do(OnWorker(worker.id, NoteContact()))
    return contact
