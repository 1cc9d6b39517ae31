"""One turn: what some inputs make true, what follows from that, and what is to be said about it. Pure.

    take each input → let reactors answer → watch the time → assign what changed

Nothing is said or kept before the engine has appended what came out (`engine.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from scitq.domain import worker as workers
from scitq.domain.commands import Request
from scitq.domain.messages import AgentHello, FromAgent, Goodbye, Heartbeat, Reports
from scitq.domain.state import State
from scitq.handlers import agents, reports, users
from scitq.handlers.contacts import Contacts
from scitq.handlers.overlay import Instant, Loaded, Outcome, Overlay

Input = Request | FromAgent


def turn(state: State, contacts: Contacts, loaded: Loaded, inputs: Sequence[Input], at: Instant) -> Outcome:
    """What the inputs come to at that instant. The overlay is left open: `state.merge()` once this is appended."""
    state.begin()
    overlay = Overlay(state, contacts, loaded, at)
    for one in inputs:
        match one:
            case Request():
                users.take_request(overlay, one)
            case Reports():
                _take(overlay, reports.take_reports, one)
            case Heartbeat():
                _take(overlay, agents.take_heartbeat, one)
            case Goodbye():
                _take(overlay, agents.take_goodbye, one)
            case AgentHello():
                agents.take_hello(overlay, one)
    overlay.watch()
    overlay.settle()
    return overlay.outcome


def _take(overlay: Overlay, take: Callable[..., None], message: Reports | Heartbeat | Goodbye) -> None:
    """One message of an agent. If all of it fails, what it had applied is forgotten with it, and will be sent again."""
    overlay.on_behalf("engine")
    if not overlay.guarded("agents", workers.stream(message.worker), take, overlay, message):
        overlay.contacts.forget(message.worker)
