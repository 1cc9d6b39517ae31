"""Releases that do not exist yet: today's code, which says more than today's code knows.

    python -m tests.e2e.future agent scitq.2,scitq.1 worker 127.0.0.1:5000 2      and so on, as `scitq` takes it
    python -m tests.e2e.future server scitq.2,scitq.1 server

Everything that is said gets fields, words and kinds that nobody has heard of, and the subprotocols are those given.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import orjson
from websockets.typing import Subprotocol

import scitq
from scitq.agents import gateway_link
from scitq.agents.gateway_link import SocketConnection
from scitq.domain import agent_wire
from scitq.domain.messages import ToAgent
from scitq.web import gateway

NEWS = {"mood": {"good": [1, 2.5, None]}, "since": "2031-01-01"}
VERSION = "9.9.9"


def be_an_agent(offer: Sequence[str]) -> None:
    """Newer words in every message, ways to hold something that are new, and messages of a new kind between."""
    gateway_link.SUBPROTOCOLS[:] = map(Subprotocol, offer)
    vars(gateway_link)["__version__"] = VERSION
    say = SocketConnection.say

    async def say_more(connection: SocketConnection, message: bytes) -> None:
        said: dict[str, Any] = {**orjson.loads(message), **NEWS}
        said["reports"] = [{**report, "took_s": 1.5} for report in said.get("reports", ())]
        if said["type"] == "hello":
            said["version"] = VERSION
        elif said["type"] == "heartbeat":
            said["held"] = {id: "warming-up" if status == "running" else status for id, status in said["held"].items()}
        await say(connection, orjson.dumps(said))
        if said["type"] != "hello":
            await say(connection, orjson.dumps({**NEWS, "type": "gossip"}))

    vars(gateway_link)["SocketConnection"].say = say_more


def be_a_server(offer: Sequence[str]) -> None:
    """Newer words in every message, and messages of a new kind before and behind those that are known."""
    vars(gateway)["PROTOCOLS"] = tuple(offer)
    scitq.__version__ = VERSION
    encode = agent_wire.encode_post

    def encode_more(epoch: int, worker: int, incarnation: str, said: Sequence[ToAgent]) -> bytes:
        post: dict[str, Any] = {**orjson.loads(encode(epoch, worker, incarnation, said)), **NEWS}
        post["messages"] = [{"type": "telepathy"}, *({**told, **NEWS} for told in post["messages"]), {"type": "rain"}]
        return orjson.dumps(post)

    vars(agent_wire)["encode_post"] = encode_more


if __name__ == "__main__":
    what, offered, *words = sys.argv[1:]
    {"agent": be_an_agent, "server": be_a_server}[what](offered.split(","))
    sys.argv[1:] = words
    from scitq.cli.main import main

    main()
