"""Sending in the background: a thread, a bounded queue, and a handle for each answer.

Whoever calls an operation of a `Sender` runs it up to its request, which is put into the queue instead of being sent;
what the operation would do with the answer is done when the answer comes.
"""

from __future__ import annotations

import atexit
import logging
import os
import time
import uuid
from collections.abc import AsyncGenerator, Callable, Iterable
from concurrent.futures import InvalidStateError
from contextlib import suppress
from pathlib import Path
from threading import Event, Lock, Thread
from types import SimpleNamespace
from typing import Any, Final
from weakref import WeakSet

import orjson

from scitq.errors import Malformed, NotAllowed, NotSent, ServerError, Unreachable
from scitq.lib.blocking import BlockingLine
from scitq.lib.calling import Handle, at_once
from scitq.lib.line import Ends
from scitq.lib.outbox import Letter, Outbox
from scitq.lib.portions import Portion, portions
from scitq.lib.shapes import answer_of
from scitq.lib.verbs import Verbs

log = logging.getLogger(__name__)

MOST_BYTES: Final = 64 * 1024 * 1024
CLOSE_S: Final = 30.0
EXIT_S: Final = 5.0
"""For so long a program that has not closed its sender waits at its end for what is on its way."""


class _Stopped(Exception):
    """The sender is closed: there is no other attempt."""


class StoppableLine(BlockingLine):
    """Whose pauses end when they are told to."""

    def __init__(self, ends: Ends) -> None:
        super().__init__(ends)
        self.stop = Event()

    async def pause(self, seconds: float) -> None:
        if self.stop.wait(seconds):
            raise _Stopped


class SendsLater(Verbs):
    """What a `Sender` does with requests. From any thread of the process that made it."""

    @staticmethod
    def _line(ends: Ends) -> StoppableLine:
        return StoppableLine(ends)

    def _begin(
        self, server: Verbs, spool: str | os.PathLike[str] | None, most_bytes: int, wait_s: float | None
    ) -> None:
        self.style, self.asynchronous, self.url, self.ip = server.style, server.asynchronous, server.url, server.ip
        self._own_line = self._line(server._ends)
        self._connection = server._connection.over(self._own_line)
        self._spool = None if spool is None else Path(spool)
        self._wait_s = wait_s
        self._outbox: Outbox[_Awaiting] = Outbox(self.url, self._spool, most_bytes, _Awaiting)
        self._process, self._starting = os.getpid(), Lock()
        self._thread: Thread | None = None
        _senders.add(self)
        if len(self._outbox):
            self._start()

    @property
    def waiting(self) -> int:
        """How many requests are not through."""
        return len(self._outbox)

    def flush(self, timeout: float | None = None) -> None:
        """Wait until everything so far is through; NotSent when it is not after so many seconds."""
        self._in_its_process()
        if not self._outbox.through(timeout):
            raise NotSent(f"after {timeout:g} s {self._what_is_left()}", self.waiting)

    def close(self, timeout: float | None = CLOSE_S) -> None:
        """Wait for what is on its way, and send nothing more. NotSent if something is lost; a spool keeps it."""
        if self._process != os.getpid():
            return  # in a process that was forked off: all of it is the parent's, which goes on
        began = time.monotonic()
        self._outbox.through(timeout)
        self._outbox.close()
        self._own_line.stop.set()
        if self._thread is None:
            at_once(self._own_line.close())
        else:
            self._thread.join(None if timeout is None else max(1.0, timeout - (time.monotonic() - began)))
        left = [letter for letter in self._outbox.left() if not letter.handle.is_taken_back()]
        sentence = f"{self._what_is_left(len(left))}{self._where_it_stays()}"
        for letter in left:
            letter.handle.fail(NotSent(sentence, len(left)))
        self._outbox.put_away()
        _senders.discard(self)
        if left and self._spool is None:
            raise NotSent(sentence, len(left))
        if left:
            log.warning("%s", sentence)

    def end(self, well: bool) -> None:
        """As a `with` does. After an exception it is short, and what is not through is said, not raised."""
        if well:
            self.close()
            return
        try:
            self.close(EXIT_S)
        except NotSent as error:
            log.warning("%s", error)

    def __repr__(self) -> str:
        return f"<Sender to {self.url}: {self.waiting} waiting>"

    async def _write(
        self,
        method: str,
        path: str,
        data: Any = None,
        thing: type[Any] = SimpleNamespace,
        *,
        timeout: float | None = None,
    ) -> Any:
        return self._post(method, path, data, lambda content: answer_of(content, self.style, thing))

    async def _act(self, action: str, ids: list[int]) -> Any:
        def refused(content: Any) -> dict[int, str]:
            return {int(id): str(why) for id, why in content["refused"].items()}

        return self._post("POST", "/tasks/actions", {"action": action, "task_ids": ids}, refused)

    async def _submitted(self, tasks: Iterable[Any], tell: Callable[[int], None] | None) -> Any:
        found: list[Portion] = []
        cut: AsyncGenerator[Portion, None] = portions(tasks, _in_another_portion)
        async for portion in cut:
            found.append(portion)
            if len(found) > 1:
                await cut.aclose()
                raise Malformed(f"in the background at most {found[0].size} of these go at once: send them in parts")
        if not found:
            raise Malformed("there is no task to send")
        return self._post("POST", "/tasks/bulk", found[0].body, lambda content: content["task_ids"])

    def _post(self, method: str, path: str, data: Any, made: Callable[[Any], Any]) -> Handle[Any]:
        self._in_its_process()
        body = data if isinstance(data, bytes) else b"" if data is None else orjson.dumps(data)
        awaiting = _Awaiting(uuid.uuid4().hex, made)
        self._outbox.put(Letter(awaiting.handle.key, method, path, body, awaiting), self._wait_s)
        awaiting.handle.add_done_callback(self._if_taken_back)
        self._start()
        return awaiting.handle

    def _in_its_process(self) -> None:
        if self._process != os.getpid():
            raise NotSent("a sender works in the process that made it: make one after the fork")

    def _if_taken_back(self, handle: Any) -> None:
        if handle.cancelled():
            self._outbox.taken_back(handle.key)

    def _start(self) -> None:
        with self._starting:
            if self._thread is None:
                self._thread = Thread(target=self._go_on, name="scitq-sender", daemon=True)
                self._thread.start()

    def _go_on(self) -> None:
        try:
            while (letter := self._outbox.first()) is not None:
                self._deliver(letter)
        except _Stopped:
            pass  # what is left is told by `close`
        finally:
            at_once(self._own_line.close())

    def _deliver(self, letter: Letter[_Awaiting]) -> None:
        """Until there is an answer, or the sender is closed."""
        keep = False
        if letter.handle.begin():
            try:
                sent = self._connection.write(letter.method, letter.path, letter.body or None, key=letter.key)
                letter.handle.succeed(at_once(sent).content)
            except (NotAllowed, Unreachable) as error:  # somebody has to do something, and then it can be sent
                keep = True
                self._failed(letter, error)
            except ServerError as error:
                keep = not 400 <= error.status < 500  # it has stumbled, or something between us and it has answered
                self._failed(letter, error)
            except _Stopped:
                raise
            except Exception as error:  # the outermost loop: what nobody has foreseen of one is not the others' end
                keep = True
                self._failed(letter, error)
        self._outbox.done(keep=keep)

    def _failed(self, letter: Letter[_Awaiting], error: Exception) -> None:
        log.warning("what was sent in the background was refused: %s %s: %s", letter.method, letter.path, error)
        letter.handle.fail(error)

    def _what_is_left(self, count: int | None = None) -> str:
        left = self.waiting if count is None else count
        return f"{left} {'request is' if left == 1 else 'requests are'} not sent to {self.url}, or not answered"

    def _where_it_stays(self) -> str:
        return "" if self._spool is None else f"; what was not stays in {self._spool}, for the next sender"


class _Awaiting:
    """What is to become of an answer: by default, nothing but that it has come."""

    def __init__(self, key: str, made: Callable[[Any], Any] = lambda content: content) -> None:
        self.handle: Handle[Any] = Handle(key)
        self._made = made

    def begin(self) -> bool:
        """Nobody has taken it back."""
        return self.handle.set_running_or_notify_cancel()

    def succeed(self, content: Any) -> None:
        try:
            result = self._made(content)
        except Exception as error:  # an answer of another shape than any server's
            self._settle(self.handle.set_exception, error)
        else:
            self._settle(self.handle.set_result, result)

    def fail(self, error: Exception) -> None:
        self._settle(self.handle.set_exception, error)

    def is_taken_back(self) -> bool:
        return self.handle.cancelled()

    def _settle(self, how: Callable[[Any], None], outcome: Any) -> None:
        with suppress(InvalidStateError):  # it was taken back, or the sender was closed at this moment and has said so
            how(outcome)


async def _in_another_portion(number: int) -> int:
    raise Malformed("in the background these tasks are too many for one request: send them in parts")


_senders: WeakSet[SendsLater] = WeakSet()


@atexit.register
def _at_exit() -> None:
    """A program that ends without closing its sender has a moment for it; what is lost is said."""
    for sender in list(_senders):
        if sender.waiting and sender._process == os.getpid():
            sender.end(well=False)
