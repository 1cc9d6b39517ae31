"""The page of the routes in a real browser: made without anything from elsewhere; and routes can be tried on it."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from scitq import explained
from scitq.web.app import all_routes
from tests.services.scitq import Embedded, embedded

WAIT_MS = 20_000


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedded]:
    with embedded(tmp_path_factory.mktemp("system")) as system:
        system.server()
        system.client().task_create("echo hello", batch="samples", status="paused")
        yield system


@pytest.fixture(params=["light", "dark"])
def page(browser: Browser, system: Embedded, request: pytest.FixtureRequest) -> Iterator[Page]:
    """As narrow as a telephone in the dark. Afterwards: nothing went wrong, and nothing was asked of anybody else."""
    narrow = request.param == "dark"
    viewport = {"width": 400, "height": 800} if narrow else {"width": 1200, "height": 800}
    context = browser.new_context(viewport=viewport, color_scheme=request.param)  # type: ignore[arg-type]
    page = context.new_page()
    page.set_default_timeout(WAIT_MS)
    expect.set_options(timeout=WAIT_MS)
    wrong, asked = list[str](), list[str]()
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda said: wrong.append(said.text) if "Failed to load resource" not in said.text else None)
    page.on("request", lambda one: asked.append(one.url))
    page.goto(f"http://127.0.0.1:{system.port}/docs")
    expect(page.locator(".route")).to_have_count(len(all_routes()))
    yield page
    assert wrong == []
    assert all(re.match(rf"http://127\.0\.0\.1:{system.port}/|data:", url) for url in asked), asked
    context.close()


def opened(page: Page, path: str) -> None:
    page.evaluate(f"location.hash = '{path}'")
    expect(page.locator(f"#{path} .inside")).to_be_visible()


def test_every_route_opens_and_nothing_is_wider_than_the_screen(page: Page) -> None:
    for one in page.locator(".route").all():
        one.evaluate("one => one.open = true")
        expect(one.locator(".inside")).to_have_count(1)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.locator(".route .inside h3", has_text="Answers").count() == len(all_routes())
    text = page.locator("#routes").inner_text()
    assert "undefined" not in text and "[object" not in text


def test_a_route_is_tried_without_a_token_and_then_with_it(page: Page, system: Embedded) -> None:
    opened(page, "get_tasks")
    route = page.locator("#get_tasks")
    expect(route.locator(".try")).to_contain_text('curl -H "Authorization: Bearer $SCITQ_TOKEN"')
    route.get_by_role("button", name="Send").click()
    expect(route.locator(".try pre").last).to_contain_text("401")
    page.get_by_label("Token").fill((system.machine.data / "token").read_text().strip())
    route.get_by_role("button", name="Send").click()
    expect(route.locator(".try pre").last).to_contain_text('"command": "echo hello"')


def test_a_body_is_sent_as_it_was_changed_and_a_refusal_leads_to_its_entry(page: Page, system: Embedded) -> None:
    page.get_by_label("Token").fill((system.machine.data / "token").read_text().strip())
    opened(page, "post_tasks")
    route = page.locator("#post_tasks")
    route.get_by_label("Body").fill('{"command": "echo tried", "bach": "x"}')
    route.get_by_role("button", name="Send").click()
    expect(route.locator(".try pre").last).to_contain_text("/docs/#malformed")
    page.goto(f"http://127.0.0.1:{system.port}/docs/#malformed")
    expect(page.locator("#malformed")).to_be_in_viewport()
    expect(page.locator("#malformed")).to_contain_text(explained.EXPLAINED["malformed"].said)


def test_events_are_shown_as_they_are(page: Page, system: Embedded) -> None:
    page.get_by_label("Token").fill((system.machine.data / "token").read_text().strip())
    opened(page, "get_events")
    route = page.locator("#get_events")
    route.get_by_label("stream").fill("")
    route.get_by_role("button", name="Send").click()
    expect(route.locator(".try pre").last).to_contain_text("engine-started")
    expect(route.get_by_role("button", name="Send")).to_be_visible()


def test_a_route_is_found_by_its_words(page: Page) -> None:
    page.locator("body").press("/")
    page.keyboard.type("post signal")
    expect(page.locator(".route:visible")).to_have_count(2)
    page.keyboard.type(" nothing")
    expect(page.locator("#none")).to_be_visible()
