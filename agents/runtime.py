"""The process behind `scitq worker`: one agent, from its start until somebody ends it.

SIGTERM detaches: commands run on under the shim, the next agent of the folder takes them over. Ctrl-C does the same,
or, where it was asked for, ends all commands and gives their tasks back, with no retry spent.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread
from typing import Final, Literal

import uvloop

from scitq.agents import enrol
from scitq.agents.cleaner import AUTOCLEAN, KEEP_FAILED_S
from scitq.agents.conversation import Conversation
from scitq.agents.dead_man import DeadMan, Watchman
from scitq.agents.gateway_link import GatewayLink
from scitq.agents.link import Link
from scitq.agents.spool_file import INCARNATION
from scitq.agents.work import Work
from scitq.agents.workshop import part_of, remove_tree
from scitq.domain.worker import Hello
from scitq.errors import AgentError, OtherLog

log = logging.getLogger(__name__)

GIVE_BACK_S: Final = 5.0
GOODBYE_S: Final = 1.0
"""For so long a server that is left may take to say goodbye."""
INTERRUPTED: Final = 130
Bus = Literal["auto", "gateway", "amqp"]
BY_HAND: Final = "the worker was stopped by hand"


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How an agent is to work. `folder` is its own: spool and shim; in `base` it makes the working folders."""

    url: str
    token: str | Callable[[], str] = field(repr=False)  # `Link` says when it is a function
    name: str
    concurrency: int
    folder: Path
    base: Path
    prefetch: int = 0
    batches: tuple[str, ...] = ("Default",)
    hostname: str | None = None
    paused: bool = False
    give_back_on_interrupt: bool = False
    bus: Bus = "gateway"
    keep_failed_s: float = KEEP_FAILED_S
    autoclean: int = AUTOCLEAN  # percent of the disk
    dead_man: DeadMan | None = None
    on_connected: Callable[[int], None] | None = None  # with the worker's number, at the first welcome


def run(options: Options) -> int:
    """Work until a signal comes; the code to exit with. To be called in the main thread, once."""
    while True:
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                code = runner.run(_run(options))
            if code is None:
                log.info("the worker starts anew")
                os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
            return code
        except OtherLog as error:
            log.warning("the worker begins anew", extra={"reason": str(error)})
            _put_aside(options)
        except AgentError as error:
            log.error("%s", error)  # the sentence itself: somebody waits for it
            return 1


async def _run(options: Options) -> int | None:
    """The code to exit with; None: this process is to be started anew."""
    loop = asyncio.get_running_loop()
    signals: asyncio.Queue[int] = asyncio.Queue()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, signals.put_nowait, number)
    link = _link(options)
    work = Work(options.folder, options.base, keep_failed_s=options.keep_failed_s, autoclean=options.autoclean)
    try:
        conversation = Conversation(link, work, _hello(options, work.agent.incarnation), options.on_connected)
        work.begin(loop)
        holding = loop.create_task(conversation.hold())
        watching = _watch(options, work, conversation)
        first, restart = loop.create_task(signals.get()), loop.create_task(work.restart.wait())
        await asyncio.wait((holding, first, restart), return_when=asyncio.FIRST_COMPLETED)
        if restart.done() and not first.done():
            first.cancel()
            await _stop(holding)
            return None
        restart.cancel()
        watching.cancel()
        if not first.done():
            first.cancel()
            try:
                await holding
            except OtherLog:
                with suppress(TimeoutError):
                    await asyncio.wait_for(work.end_all(), GIVE_BACK_S)
                raise
        if first.result() == signal.SIGINT and options.give_back_on_interrupt:
            await _give_back(work, conversation, signals)
        await _stop(holding)
        log.info("the worker stops", extra={"running": len(list(work.runners.running()))})
        return INTERRUPTED if first.result() == signal.SIGINT else 0
    finally:
        work.close()


def _watch(options: Options, work: Work, conversation: Conversation) -> asyncio.Future[None]:
    """What ends the machine when its server is gone for good; for most, nothing."""
    if options.dead_man is None:
        return asyncio.get_running_loop().create_future()
    watchman = Watchman(options.dead_man, work, options.name, lambda: conversation.is_open)
    return asyncio.ensure_future(watchman.run())


async def _stop(holding: asyncio.Task[None]) -> None:
    holding.cancel()
    with suppress(asyncio.CancelledError, TimeoutError, AgentError):
        async with asyncio.timeout(GOODBYE_S):
            await holding


def _link(options: Options) -> Link:
    if options.bus == "gateway":
        return GatewayLink(options.url, options.token)
    from scitq.agents.broker_link import AnyLink, BrokerLink  # with all that it brings, for those who want it

    way = BrokerLink if options.bus == "amqp" else AnyLink
    return way(options.url, options.token, options.name)


def _put_aside(options: Options) -> None:
    """Keep what was of another log for inquiry, the latest of it, and the credential for use. Working folders go."""
    folder = options.folder
    with suppress(OSError):
        works = part_of(options.base, (folder / INCARNATION).read_text("ascii", "replace"))
        Thread(target=remove_tree, args=(str(works),), daemon=True).start()  # that may take long
    aside = folder.with_name(f"{folder.name}.before")
    shutil.rmtree(aside, ignore_errors=True)
    folder.rename(aside)
    folder.mkdir(mode=0o700)
    if (aside / enrol.NAME).exists():
        (aside / enrol.NAME).rename(folder / enrol.NAME)


async def _give_back(work: Work, conversation: Conversation, signals: asyncio.Queue[int]) -> None:
    """End all commands and say so. A server that does not answer is not waited for, nor when a second signal comes."""
    log.info("the worker ends its commands and gives their tasks back")
    giving = asyncio.ensure_future(work.give_back(BY_HAND, lambda: conversation.is_open))
    hurry = asyncio.ensure_future(signals.get())
    await asyncio.wait((giving, hurry), timeout=GIVE_BACK_S, return_when=asyncio.FIRST_COMPLETED)
    hurry.cancel()
    if giving.done():
        giving.result()
        await conversation.say_goodbye()
    else:
        giving.cancel()


def _hello(options: Options, incarnation: str) -> Hello:
    return Hello(
        options.name,
        incarnation,
        options.concurrency,
        options.prefetch,
        options.batches,
        options.hostname,
        options.paused,
    )
