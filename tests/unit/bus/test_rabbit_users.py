"""Names of broker users: one for each worker, and nothing else gets in with them."""

from __future__ import annotations

import re
from itertools import combinations

import pytest

from scitq.bus.rabbit_topology import Names
from scitq.bus.rabbit_users import (
    exactly,
    is_user,
    is_user_of,
    key_of,
    keys_pattern,
    prefix_in,
    queue_of,
    speaker,
    user_of,
)

NAMES = ["node7", "node7.example.org", "node 7", "node/7", "node~7", "é" * 200, "", "#", "*", "a" * 101, ".*", "\udc80"]


def test_every_worker_has_a_user_of_its_own() -> None:
    users = {name: user_of("scitq", name) for name in NAMES}
    assert users["node7.example.org"] == "scitq/node7.example.org"
    assert re.fullmatch(r"scitq/node_7~[0-9a-f]{32}", users["node 7"])
    for name, user in users.items():
        assert is_user_of(user, name) and is_user(user) and user.isascii() and len(f"output.{user}") < 200
    for one, other in combinations(NAMES, 2):
        assert users[one] != users[other] and not is_user_of(users[one], other)


def test_servers_in_different_virtual_hosts_have_different_users() -> None:
    prefixes = [prefix_in(vhost, "scitq") for vhost in ("/", "a", "b", "a/b", "a b")]
    assert prefixes[0] == "scitq" and len({user_of(prefix, "x") for prefix in prefixes}) == 5
    assert all(is_user_of(user_of(prefix, "x"), "x") for prefix in prefixes)


@pytest.mark.parametrize("name", NAMES)
def test_a_user_writes_under_its_own_keys_and_no_others(name: str) -> None:
    user = user_of("scitq", name)
    pattern = re.compile(keys_pattern(user))
    assert pattern.search(key_of("reports", user)) and pattern.search(key_of("output", user))
    for key in ("commands", "reports", key_of("commands", user), key_of("reports", user + "x"), "reports.scitq/other"):
        assert not pattern.search(key)
    assert not pattern.search(key_of("reports", user).replace(".", "x", 1))
    assert re.search(f"^{exactly(queue_of(Names('scitq'), user))}$", queue_of(Names("scitq"), user))


@pytest.mark.parametrize(
    ("queue", "key", "user_id", "who"),
    [
        ("reports", "reports", None, None),
        ("commands", "commands", "anybody", None),
        ("reports", "reports.scitq/a", "scitq/a", "scitq/a"),
        ("output", "output.scitq/a", "scitq/a", "scitq/a"),
    ],
)
def test_who_speaks_is_what_the_broker_guarantees(queue: str, key: str, user_id: str | None, who: str | None) -> None:
    assert speaker(queue, key, user_id) == who


@pytest.mark.parametrize(
    ("queue", "key", "user_id"),
    [
        ("reports", "reports.scitq/a", None),
        ("reports", "reports.scitq/a", "scitq/b"),
        ("reports", "output.scitq/a", "scitq/a"),
        ("commands", "reports.scitq/a", "scitq/a"),
        ("commands", "commands.scitq/a", "scitq/a"),
        ("reports", "output", None),
        ("reports", "", ""),
    ],
)
def test_what_the_broker_does_not_vouch_for_is_nobodys(queue: str, key: str, user_id: str | None) -> None:
    with pytest.raises(ValueError, match="does not vouch"):
        speaker(queue, key, user_id)
