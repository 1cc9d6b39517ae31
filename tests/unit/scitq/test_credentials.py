"""What a server signs is understood by the same server, and by nobody is it changed."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scitq.config.values import TOKEN, Token
from scitq.credentials import LONGEST_S, NAME_BYTES, Credentials, Invitation, WorkerCredential
from scitq.errors import Malformed

NOW = 1_790_000_000
ALPHABET = string.ascii_letters + string.digits + "-_.~+/= \x00é"
ours = Credentials(Token("a-token-of-a-server-0123456789"))
others = Credentials(Token("the-token-of-another-server-01"))
names = st.text(min_size=1, max_size=NAME_BYTES).filter(
    lambda name: len(name.encode("utf-8", "surrogatepass")) <= NAME_BYTES and _is_unicode(name)
)


def _is_unicode(text: str) -> bool:
    return not any("\ud800" <= char <= "\udfff" for char in text)


@given(names)
def test_a_credential_names_its_worker_whatever_the_characters(name: str) -> None:
    text = ours.for_worker(name)
    assert ours.read(text, NOW) == WorkerCredential(name)


@given(names)
def test_a_credential_may_stand_where_a_token_stands(name: str) -> None:
    assert TOKEN.fullmatch(ours.for_worker(name))


def test_the_longest_name_still_fits_where_a_token_stands() -> None:
    assert TOKEN.fullmatch(ours.for_worker("n" * NAME_BYTES))


@given(st.integers(1, LONGEST_S), st.integers(0, 2**40))
def test_an_invitation_holds_until_it_expires(ttl_s: int, now: int) -> None:
    text = ours.invitation(ttl_s, now)
    assert TOKEN.fullmatch(text)
    assert ours.read(text, now) == ours.read(text, now + ttl_s - 1) == Invitation(now + ttl_s)
    with pytest.raises(Malformed, match="expired 0 seconds ago"):
        ours.read(text, now + ttl_s)


@pytest.mark.parametrize(
    ("ago_s", "words"),
    [(1, "1 second ago"), (59, "59 seconds"), (60, "1 minute ago"), (7_300, "2 hours ago"), (86_400 * 9, "9 days ago")],
)
def test_an_expired_invitation_says_since_when(ago_s: int, words: str) -> None:
    text = ours.invitation(60, NOW)
    with pytest.raises(Malformed, match=words):
        ours.read(text, NOW + 60 + ago_s)


@pytest.mark.parametrize("ttl_s", [0, -1, LONGEST_S + 1, 2**70])
def test_an_invitation_lasts_no_longer_than_a_month(ttl_s: int) -> None:
    with pytest.raises(Malformed, match="30 days"):
        ours.invitation(ttl_s, NOW)


@pytest.mark.parametrize("text", [ours.for_worker("node é 7"), ours.invitation(3_600, NOW)])
def test_no_character_of_it_can_be_changed_dropped_doubled_or_added(text: str) -> None:
    for at in range(len(text)):
        changed = {text[:at] + other + text[at + 1 :] for other in ALPHABET} - {text}
        changed |= {text[:at] + text[at + 1 :], text[: at + 1] + text[at:]} - {text}
        for forged in changed | {text + other for other in ALPHABET}:
            with pytest.raises(Malformed):
                ours.read(forged, NOW)


def test_a_right_of_one_kind_does_not_become_the_other() -> None:
    kind, content, signature = ours.for_worker("8 bytes!").removeprefix("scitq1.").split(".")
    assert kind == "w"
    with pytest.raises(Malformed, match="not of this server"):
        ours.read(f"scitq1.i.{content}.{signature}", NOW)


def test_a_new_token_revokes_everything() -> None:
    for text in (ours.for_worker("node"), ours.invitation(3_600, NOW)):
        with pytest.raises(Malformed, match="token was changed"):
            others.read(text, NOW)


@given(st.text() | st.text().map(lambda text: f"scitq1.{text}"))
def test_nonsense_is_refused_in_words(text: str) -> None:
    with pytest.raises(Malformed, match="credential"):
        ours.read(text, NOW)


def test_what_is_too_long_is_not_even_looked_at() -> None:
    with pytest.raises(Malformed, match="not a credential"):
        ours.read("scitq1.w." + "A" * 1_000_000, NOW)


@pytest.mark.parametrize("name", ["", "n" * (NAME_BYTES + 1), "é" * (NAME_BYTES // 2 + 1), "\ud800"])
def test_a_name_that_is_none_gets_no_credential(name: str) -> None:
    with pytest.raises(Malformed, match="name of a worker"):
        ours.for_worker(name)


def test_neither_the_key_nor_the_token_is_shown() -> None:
    assert "token-of" not in repr(ours) + ours.for_worker("x") + str(vars(ours).keys())
