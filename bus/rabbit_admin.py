"""The broker's management API, as far as it is needed: users for agents, with a queue each, made and removed.

Everything is idempotent, and asked again when it failed half-way. Nothing here waits long: ten seconds a request.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple
from urllib.parse import quote, unquote, urlsplit, urlunsplit

import httpx

from scitq.bus.rabbit_address import Address
from scitq.bus.rabbit_inboxes import bounds
from scitq.bus.rabbit_topology import SPOKEN, Names
from scitq.bus.rabbit_users import exactly, key_of, keys_pattern, prefix_in, queue_of, user_of
from scitq.errors import BusUnavailable, Malformed

TIMEOUT_S: Final = 10.0
MOST_CONNECTIONS: Final = 2
"""One that is used, and one whose loss the broker has not noticed yet."""
MOST_CHANNELS: Final = 4
TAG: Final = "scitq-worker"
_MADE, _SERIES = "made-", "series-"
_NOTHING: Final = "^$"


class Account(NamedTuple):
    """What an agent needs to speak with the broker itself. `addresses` have no user in them."""

    addresses: tuple[str, ...]
    user: str
    password: str
    exchange: str
    queue: str
    keys: dict[str, str]


class Known(NamedTuple):
    """A user that was made here, and when, in seconds since 1970. Not valid: for a credential that holds no more."""

    user: str
    made: int
    valid: bool


class BrokerUsers:
    """The users of one server's workers. `admin`: http://user:password@host:15672; `public`: the brokers' addresses
    as agents see them. `series`: of the server's token, on which all credentials hang; a user of another one is not
    valid. Without it nothing is known of that."""

    def __init__(
        self, admin: str, bus: Sequence[str], *, public: Sequence[str] = (), prefix: str = "scitq", series: str = ""
    ) -> None:
        self._api = _Api(admin)
        self._vhost = Address(bus[0]).vhost
        self._prefix, self._names = prefix_in(self._vhost, prefix), Names(prefix)
        self._series = f"{_SERIES}{series}"
        self._addresses = tuple(_without_user(url) for url in public or bus)

    def user_of(self, name: str) -> str:
        return user_of(self._prefix, name)

    def make(self, name: str) -> Account:
        """The user for the worker of that name, with a new password: there is nobody who needs to keep one."""
        api, names, user = self._api, self._names, self.user_of(name)
        queue, password = queue_of(names, user), secrets.token_urlsafe(24)
        known = api.find("users", user)
        if known is not None and TAG not in _tags(known):
            raise BusUnavailable(f"the broker has a user {user!r} already that is not a worker's: rename or remove it")
        api.put({"password": password, "tags": f"{TAG},{_MADE}{int(time.time())},{self._series}"}, "users", user)
        api.put({"value": MOST_CONNECTIONS}, "user-limits", user, "max-connections")
        api.put({"value": MOST_CHANNELS}, "user-limits", user, "max-channels")
        keys = {"exchange": names.inbound, "write": keys_pattern(user), "read": _NOTHING}
        api.put(keys, "topic-permissions", self._vhost, user)
        api.put({"durable": True, "arguments": bounds()}, "queues", self._vhost, queue)
        api.post({"routing_key": user}, "bindings", self._vhost, "e", names.posts, "q", queue)
        rights = {"configure": _NOTHING, "write": f"^{exactly(names.inbound)}$", "read": f"^{exactly(queue)}$"}
        api.put(rights, "permissions", self._vhost, user)  # the last: from here on it may do something
        spoken = {each: key_of(each, user) for each in SPOKEN}
        return Account(self._addresses, user, password, names.inbound, queue, spoken)

    def present(self) -> list[Known]:
        """All that are there under our prefix, of this release or an earlier one."""
        begin = user_of(self._prefix, "-")[:-1]
        return [
            Known(one["name"], _made(tags), self._series in (_SERIES, *tags))
            for one in self._api.get("users")
            if one["name"].startswith(begin) and TAG in (tags := _tags(one))
        ]

    def remove(self, user: str) -> None:
        """With its queue, and its connections. The user last: as long as it is there, it is tried again."""
        self._api.delete("queues", self._vhost, queue_of(self._names, user))
        self._api.delete("users", user)

    def close(self) -> None:
        self._api.close()


class _Api:
    """One HTTP API; what goes wrong with it is BusUnavailable, in a sentence without the password."""

    def __init__(self, url: str) -> None:
        try:
            parts = urlsplit(url)
            self._user = unquote(parts.username or "guest")
            self._shown = urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path.rstrip("/"), "", ""))
            auth = httpx.BasicAuth(self._user, unquote(parts.password or "guest"))
            self._client = httpx.Client(auth=auth, timeout=TIMEOUT_S, trust_env=False)
        except ValueError as error:
            raise Malformed("the address of the broker's management cannot be understood") from error

    def find(self, *path: str) -> dict[str, Any] | None:
        """What is there; None when it is not."""
        answer = self._ask("GET", path, also=404)
        return None if answer.status_code == 404 else _object(answer)

    def get(self, *path: str) -> list[dict[str, Any]]:
        answer = self._ask("GET", path)
        try:
            found: list[dict[str, Any]] = answer.json()
        except ValueError as error:
            raise self._strange(answer) from error
        return found

    def put(self, content: dict[str, Any], *path: str) -> None:
        self._ask("PUT", path, content)

    def post(self, content: dict[str, Any], *path: str) -> None:
        self._ask("POST", path, content)

    def delete(self, *path: str) -> None:
        """It is gone, whether it was there or not."""
        self._ask("DELETE", path, also=404)

    def close(self) -> None:
        self._client.close()

    def _ask(
        self, method: str, path: Sequence[str], content: dict[str, Any] | None = None, also: int = 0
    ) -> httpx.Response:
        url = "/".join([self._shown, "api", *(quote(part, safe="") for part in path)])
        try:
            answer = self._client.request(method, url, json=content)
        except httpx.HTTPError as error:
            reason = "it does not answer" if isinstance(error, httpx.TimeoutException) else str(error)
            raise BusUnavailable(f"the broker's management at {self._shown} cannot be asked: {reason}") from error
        if answer.is_success or answer.status_code == also:
            return answer
        if answer.status_code == 401:
            raise BusUnavailable(
                f"the broker's management at {self._shown} does not accept the user {self._user!r}: give "
                "SCITQ_BUS_ADMIN a user with the tag administrator"
            )
        raise self._strange(answer)

    def _strange(self, answer: httpx.Response) -> BusUnavailable:
        return BusUnavailable(
            f"the broker's management at {self._shown} answered {answer.status_code} to "
            f"{answer.request.method} {unquote(answer.request.url.path)}: {answer.text[:300]}"
        )


def _object(answer: httpx.Response) -> dict[str, Any]:
    found: dict[str, Any] = answer.json()
    return found


def _tags(user: dict[str, Any]) -> list[str]:
    """RabbitMQ 3.8 wrote them as one text."""
    tags = user.get("tags", [])
    return tags.split(",") if isinstance(tags, str) else [str(tag) for tag in tags]


def _made(tags: list[str]) -> int:
    return next(_numbers(tags), 0)


def _numbers(tags: list[str]) -> Iterator[int]:
    for tag in tags:
        digits = tag.removeprefix(_MADE)
        if digits != tag and digits.isdecimal():
            yield int(digits)


def _without_user(url: str) -> str:
    """As it is told to agents: with the authority to trust, and without what is our own."""
    parts = urlsplit(url)
    kept = [option for option in parts.query.split("&") if option.startswith("cafile=")]
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "&".join(kept), ""))
