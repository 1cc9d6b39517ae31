"""The shim: a small process, one per agent, that starts its commands, sees them end, and outlives it.

Only a parent learns a return code, so the parent must not be the one that is restarted. It has one thread and no
library, listens on a socket in a private folder, and ends by itself when nothing runs and no agent was there for a
while. Lines of JSON go both ways:

    {"do": "start", "execution": 5, "argv": […], "cwd", "env", "uid", …}           {"started": 5, "pid", "ticks"}
    {"do": "kill", "execution": 5, "grace_s": 0.5, "reason", "failure"}   {"end": 5, "code", "reason", "at", "used", …}
    {"do": "signal", "execution": 5, "signal": 19}                                 {"signalled": 5, "signal", "sent"}
    {"do": "hello"}                                                                {"hello": 1, "running", "ended"}
    {"do": "forget", "executions": […]}   {"do": "leave"}: end as soon as nothing runs       {"trouble": "…"}
"""

from __future__ import annotations

import fcntl
import json
import os
import selectors
import signal
import socket
import sys
import time
import traceback
from collections import deque
from typing import Any, Final

from scitq.agents.processes import boot_id
from scitq.agents.shim_run import Run, Told
from scitq.agents.shim_runs import Runs

OTHER_SHIM: Final = 3
"""The code with which it ends when another shim has the folder."""
AT_ONCE: Final = 8
"""Requests served before it is looked after what has ended: a thousand starts must not delay an exit."""
MOST_UNREAD: Final = 16 * 1024 * 1024
_ENCODE: Final = json.JSONEncoder(check_circular=False).encode


class _Agent:
    """A connection."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.inbound = b""
        self.requests: deque[bytes] = deque()
        self.outbound = bytearray()
        self.greeted = False


class Shim:
    """The loop around `Runs`."""

    def __init__(self, folder: str, listener: socket.socket, boot: str, patience_s: float) -> None:
        self._listener, self._patience_s = listener, patience_s
        self._agents: dict[int, _Agent] = {}
        self._leaving = False
        self._alone_since = time.monotonic()
        self.runs = Runs(folder, boot, self._tell_all)

    def serve(self) -> None:
        """Until nobody needs it any more."""
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ, None)
        wake, woken = socket.socketpair()
        wake.setblocking(False)
        self._selector.register(woken, selectors.EVENT_READ, "wake")
        signal.set_wakeup_fd(wake.fileno())
        signal.signal(signal.SIGTERM, self._leave)
        while True:
            self._watch()
            wait = self.runs.tick()
            self.runs.save()  # before it is told
            self._send_all()
            if self._is_over():
                return
            if any(agent.requests for agent in self._agents.values()):
                wait = 0.0
            elif not self._agents or self._leaving:
                wait = 1.0 if wait is None else min(wait, 1.0)
            for key, mask in self._selector.select(wait):
                self._on_event(key, mask)
            for agent in list(self._agents.values()):
                for _ in range(min(AT_ONCE, len(agent.requests))):
                    self._serve(agent, agent.requests.popleft())

    def _leave(self, *_: object) -> None:
        """SIGTERM: the machine goes down, and its commands were told as well."""
        self._leaving = True

    def _is_over(self) -> bool:
        if self.runs.running:
            return False
        if self._agents:
            self._alone_since = time.monotonic()
            return self._leaving and not any(agent.requests or agent.outbound for agent in self._agents.values())
        return self._leaving or time.monotonic() - self._alone_since > self._patience_s

    def _on_event(self, key: selectors.SelectorKey, mask: int) -> None:
        match key.data:
            case None:
                try:
                    connection = self._listener.accept()[0]
                except OSError:  # it went away again, or no descriptor is left: then it asks again
                    return
                connection.setblocking(False)
                self._agents[connection.fileno()] = agent = _Agent(connection)
                self._selector.register(connection, selectors.EVENT_READ, agent)
            case Run() as run:
                self._selector.unregister(run.pidfd)
                self.runs.left(run)
                self._alone_since = time.monotonic()
            case _Agent() as agent:
                if mask & selectors.EVENT_READ:
                    self._receive(agent)
            case _:
                assert isinstance(key.fileobj, socket.socket)
                key.fileobj.recv(100)

    def _watch(self) -> None:
        for run in self.runs.unwatched:
            self._selector.register(run.pidfd, selectors.EVENT_READ, run)
        self.runs.unwatched.clear()

    # Requests ------------------------------------------------------------------------------------------------------

    def _receive(self, agent: _Agent) -> None:
        try:
            data = agent.connection.recv(256 * 1024)
        except BlockingIOError:
            return
        except ConnectionResetError:  # it went without reading what we told; what it asked before comes next
            return
        if not data:
            for request in agent.requests:  # it is gone, and what it asked for holds
                self._serve(agent, request)
            return self._drop(agent)
        *whole, agent.inbound = (agent.inbound + data).split(b"\n")
        agent.requests.extend(whole)

    def _serve(self, agent: _Agent, request: bytes) -> None:
        """One request. Whatever goes wrong with it must not take the others' commands along."""
        try:
            asked: dict[str, Any] = json.loads(request)
            match asked["do"]:
                case "start":
                    self.runs.start(asked["execution"], asked)
                case "kill":
                    self.runs.kill(asked["execution"], asked["grace_s"], asked.get("reason"), asked.get("failure"))
                case "signal":
                    execution, number = asked["execution"], asked["signal"]
                    sent = self.runs.signal(execution, number)
                    self._tell(agent, {"signalled": execution, "signal": number, "sent": sent})
                case "forget":
                    self.runs.forget(asked["executions"])
                case "hello":
                    agent.greeted = True
                    running = [(run.execution, run.pid, run.ticks[0]) for run in self.runs.running.values()]
                    ended = list(self.runs.ended.values())
                    self._tell(agent, {"hello": os.getpid(), "running": running, "ended": ended})
                case "leave":
                    self._leaving = True
                case unknown:
                    self._tell(agent, {"trouble": f"this shim does not know how to {unknown}"})
        except Exception:  # the outermost loop
            traceback.print_exc()
            self._tell(agent, {"trouble": f"{request[:200]!r} went wrong: {traceback.format_exc(limit=-3)}"})

    # Answers -------------------------------------------------------------------------------------------------------

    def _tell(self, agent: _Agent, told: Told) -> None:
        agent.outbound += _ENCODE(told).encode() + b"\n"

    def _tell_all(self, told: Told) -> None:
        for agent in self._agents.values():
            if agent.greeted:  # it knows the others from the answer to its greeting
                self._tell(agent, told)

    def _send_all(self) -> None:
        for agent in list(self._agents.values()):
            if not agent.outbound:
                continue
            try:
                del agent.outbound[: agent.connection.send(agent.outbound)]
            except BlockingIOError:
                pass  # tried again when it has read something
            except OSError:  # it is gone, and what it asked for may still have to be read
                agent.outbound.clear()
                agent.greeted = False
            if len(agent.outbound) > MOST_UNREAD:  # it does not read: it finds all in the list when it is back
                self._drop(agent)
                continue
            wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if agent.outbound else 0)
            if self._selector.get_key(agent.connection).events != wanted:
                self._selector.modify(agent.connection, wanted, agent)

    def _drop(self, agent: _Agent) -> None:
        if self._agents.pop(agent.connection.fileno(), None) is not None:
            self._selector.unregister(agent.connection)
            agent.connection.close()


def main() -> None:
    """`folder patience_s [boot]`. Returns when it listens: what goes on is a child, which belongs to nobody."""
    folder, patience_s = sys.argv[1], float(sys.argv[2])
    lock = os.open(f"{folder}/lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.exit(OTHER_SHIM)
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    listener = _listen(folder)
    shim = Shim(folder, listener, sys.argv[3] if len(sys.argv) > 3 else boot_id(), patience_s)
    if os.fork():
        os._exit(0)
    os.chdir("/")
    os.ftruncate(lock, 0)
    os.pwrite(lock, str(os.getpid()).encode(), 0)
    shim.serve()


def _listen(folder: str) -> socket.socket:
    """Relative to the folder: the address of a socket has room for 107 bytes."""
    os.chdir(folder)
    listener = socket.socket(socket.AF_UNIX)
    if os.path.exists("socket"):
        os.unlink("socket")  # of a shim that was killed: we have its lock
    before = os.umask(0o177)
    listener.bind("socket")
    os.umask(before)
    listener.listen()
    listener.setblocking(False)
    return listener
