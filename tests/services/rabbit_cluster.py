"""Three brokers of one's own that are one: any of them can be killed, and two go on."""

from __future__ import annotations

from contextlib import ExitStack
from types import TracebackType
from typing import Self

from tests.services.private import ServiceFailed
from tests.services.rabbitmq import PrivateRabbit, Shared

NODES = 3


class RabbitCluster:
    """`nodes`, and `urls` with the address of each."""

    def __init__(self) -> None:
        names = [f"scitq{number}" for number in range(1, NODES + 1)]
        settings = {"cluster_formation.peer_discovery_backend": "classic_config"} | {
            f"cluster_formation.classic_config.nodes.{number}": f"{name}@localhost"
            for number, name in enumerate(names, 1)
        }
        shared = Shared.new()
        with ExitStack() as stack:
            self.nodes = [
                stack.enter_context(PrivateRabbit(settings, name=name, shared=shared, start=False)) for name in names
            ]
            for node in self.nodes:  # all of them begin before the first is waited for: they look for each other
                node.begin()
            for node in self.nodes:
                node.start()
            self.nodes[0].ctl("await_online_nodes", str(NODES))
            self._stack = stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stack.close()

    @property
    def urls(self) -> list[str]:
        return [node.url for node in self.nodes]

    def leader(self, queue: str) -> PrivateRabbit:
        """The node on which the queue is led."""
        alive = next(node for node in self.nodes if node.running)
        for line in alive.ctl("list_queues", "--no-table-headers", "name", "leader").splitlines():
            name, _, where = line.partition("\t")
            if name == queue:
                return next(node for node in self.nodes if node.node == where)
        raise ServiceFailed(f"there is no queue {queue!r}, or nobody leads it")
