"""How a machine becomes a worker: somebody invites it, and it exchanges the invitation for a credential of its own."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Annotated

from annotated_types import Ge, Le, MaxLen, MinLen
from pydantic import AfterValidator, BaseModel, Field
from starlette.responses import Response

from scitq.credentials import INVITED_S, LONGEST_S, NAME_BYTES, SHORTEST_S, Credentials
from scitq.domain.agent_wire import PROTOCOLS
from scitq.domain.speaker import BrokerAccount
from scitq.web import forms
from scitq.web.errors import Refusal, conflict, forbidden
from scitq.web.gateway import no_common_words
from scitq.web.routing import Answer, Call, Route, json


def _one_line(name: str) -> str:
    if not name.isprintable() or name != name.strip():
        raise ValueError("it contains a character that cannot be seen")
    if len(name.encode("utf-8", "surrogatepass")) > NAME_BYTES:
        raise ValueError(f"it has more than {NAME_BYTES} bytes in UTF-8")
    return name


class Invite(forms.Form):
    ttl_s: Annotated[forms.Int, Ge(SHORTEST_S), Le(LONGEST_S)] = INVITED_S


class Enrol(forms.Form):
    name: Annotated[str, MinLen(1), MaxLen(NAME_BYTES), AfterValidator(_one_line)]


class Speak(Enrol):
    """`protocols`: what the agent speaks, by the names of the gateway's subprotocols."""

    protocols: Annotated[list[forms.Word], MinLen(1), MaxLen(20)] = Field(default_factory=lambda: list(PROTOCOLS))


class Invitation(BaseModel):
    invitation: str
    expires: datetime


class Credential(BaseModel):
    credential: str
    name: str


def invite(call: Call) -> Response:
    form: Invite = call.form
    now = int(time.time())
    expires = datetime.fromtimestamp(now + form.ttl_s, UTC).replace(tzinfo=None)
    text = _credentials(call).invitation(form.ttl_s, now)
    return json({"invitation": text, "expires": expires}, 201)


def enrol(call: Call) -> Response:
    form: Enrol = call.form
    return json({"credential": _credentials(call).for_worker(form.name), "name": form.name}, 201)


async def broker(call: Call) -> Response:
    """Every time with a new password: an agent that has lost its own, or whose broker has lost all, asks again."""
    form: Speak = call.form
    users, own = call.services.broker, call.caller.worker
    if users is None:
        raise conflict("this server gives out no users of its broker: agents reach it through its gateway")
    if own not in (None, form.name):
        raise forbidden(f"this credential is for worker {own!r}, not for {form.name!r}")
    if not set(PROTOCOLS) & set(form.protocols):
        agent = call.request.headers.get("user-agent", "")
        raise Refusal(426, no_common_words(form.protocols, agent, call.services.version), word="versions-apart")
    account = await call.services.run(users.make, form.name)
    return json(account._asdict(), 201)


def _credentials(call: Call) -> Credentials:
    credentials = call.services.access.credentials
    if credentials is None:
        raise conflict("this server has no token from which a credential could follow: workers need none here")
    return credentials


ROUTES = [
    Route(
        "POST",
        "/workers/invite",
        "admin",
        invite,
        "Make an invitation, with which a machine can become a worker until it expires",
        form=Invite,
        answers={201: Answer("The invitation", Invitation)},
        example={"ttl_s": 3_600},
    ),
    Route(
        "POST",
        "/workers/enrol",
        "enrol",
        enrol,
        "Exchange an invitation for the credential of one worker",
        form=Enrol,
        answers={201: Answer("The credential, for the gateway only", Credential)},
        example={"name": "node7"},
    ),
    Route(
        "POST",
        "/workers/broker",
        "worker",
        broker,
        "Give a worker a user of the broker, with a new password",
        form=Speak,
        answers={201: Answer("The user, and where and how it may speak", BrokerAccount)},
        example={"name": "node7", "protocols": ["scitq.1"]},
    ),
]
