"""The live page in a real browser: what it shows, what can be done with it, and that what users write stays text."""

from __future__ import annotations

import re
import shlex
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Response, expect

from tests.services.scitq import Embedded, embedded

WAIT_MS = 20_000
expect.set_options(timeout=WAIT_MS)
Open = Callable[..., Page]


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedded]:
    """A server with one worker, used by all tests of this file."""
    with embedded(tmp_path_factory.mktemp("system")) as system:
        system.up("--concurrency", "4")
        system.client()
        yield system


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Open]:
    """Opens the page of a server. Afterwards: nothing went wrong in it."""
    wrong: list[str] = []
    contexts = []

    def open_(system: Embedded, *, token: str | None = None, **options: Any) -> Page:
        context = browser.new_context(**({"viewport": {"width": 1200, "height": 800}} | options))
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(WAIT_MS)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda said: wrong.append(said.text) if _is_wrong(said.text, said.type) else None)
        token = (system.machine.data / "token").read_text().strip() if token is None else token
        page.goto(f"http://127.0.0.1:{system.port}/ui/" + (f"#token={token}" if token else ""))
        return page

    yield open_
    for context in contexts:
        context.close()
    assert wrong == []


def _is_wrong(text: str, kind: str) -> bool:
    """The browser itself notes every answer that is no success, and every connection that is lost."""
    return kind in ("error", "warning") and not text.startswith("Failed to load resource")


def row(page: Page, task: int) -> Any:
    return page.locator(f"#task-table tr[data-key='{task}']")


def open_task(page: Page, task: int) -> None:
    row(page, task).get_by_role("button").click()
    expect(page.locator("#task")).to_be_visible()


def act(page: Page, action: str, answer: str) -> None:
    """Press a button, and answer the question that it asks."""
    page.locator(f"[data-action={action}]").click()
    page.locator("#sure").get_by_role("button", name=answer).click()


def status(page: Page) -> Any:
    return page.locator("#task-title .status")


# What it shows ---------------------------------------------------------------------------------------------------


def test_an_empty_server_tells_how_to_submit_the_first_task_which_then_appears(tmp_path: Path, open_page: Open) -> None:
    with embedded(tmp_path) as system:
        system.server()
        client = system.client()
        page = open_page(system)
        expect(page.locator("#no-task")).to_contain_text("scitq-launch echo 'hello world'")
        expect(page).to_have_title("scitq")
        page.get_by_role("button", name="Workers").click()
        expect(page.locator("#no-worker")).to_contain_text("scitq worker")
        page.get_by_role("button", name="Tasks").click()
        client.task_create("echo first")
        expect(row(page, 1)).to_contain_text("echo first")
        expect(page.locator("#no-task")).to_be_hidden()
        expect(page).to_have_title("scitq · 1 pending")


def test_a_task_is_seen_to_run_and_to_end_without_touching_the_page(system: Embedded, open_page: Open) -> None:
    page, done = open_page(system), system.machine.folder / "done"
    id = system.client().task_create(f"sh -c 'until [ -e {done} ]; do sleep 0.05; done'")["task_id"]
    expect(row(page, id).locator(".status")).to_have_text("running")
    expect(page).to_have_title(re.compile("1 running"))
    done.touch()
    expect(row(page, id).locator(".status")).to_have_text("succeeded")


def test_the_output_is_seen_while_it_is_printed(system: Embedded, open_page: Open) -> None:
    page, go = open_page(system), system.machine.folder / "go"
    command = f"sh -c 'echo one; until [ -e {go} ]; do sleep 0.05; done; echo two; echo bad >&2'"
    id = system.client().task_create(command)["task_id"]
    open_task(page, id)
    expect(page.locator("#output-text")).to_have_text("one\n")
    go.touch()
    expect(page.locator("#output-text")).to_have_text("one\ntwo\n")
    expect(page.locator("#output-note")).to_have_text("That is its end.")
    page.get_by_role("button", name="Error", exact=True).click()
    expect(page.locator("#output-text")).to_have_text("bad\n")


def test_what_users_write_stays_text(system: Embedded, open_page: Open) -> None:
    evil = "<img src=x onerror=\"document.title='taken'\"><script>document.title='taken'</script>"
    client = system.client()
    batch = evil.replace("/", "|")
    id = client.task_create(shlex.join(["echo", evil]), name=evil, batch=batch)["task_id"]
    page = open_page(system)
    expect(row(page, id)).to_contain_text("<script>")
    open_task(page, id)
    expect(page.locator("#no-execution")).to_be_visible()  # no worker serves its batch
    expect(page.locator("#task-facts")).to_contain_text("<script>")
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Batches").click()
    expect(page.locator("#batch-table")).to_contain_text("<script>")
    assert page.locator("img, main script, dialog script").count() == 0
    assert "taken" not in page.title()
    client.task_delete(id)


def test_tasks_are_found_by_status_and_batch_and_page_by_page(system: Embedded, open_page: Open) -> None:
    client = system.client()
    ids = client.tasks_create([{"command": f"echo {at}", "batch": "paged", "status": "paused"} for at in range(120)])
    page = open_page(system)
    page.locator("#batch").select_option("paged")
    chips = page.locator("#counts")
    expect(chips).to_have_text("all 120paused 120".replace(" ", ""))
    expect(page.locator("#task-table tbody tr")).to_have_count(50)
    expect(row(page, ids[-1])).to_be_visible()
    for shown in (50, 20):
        page.get_by_role("button", name="Older").click()
        expect(page.locator("#task-table tbody tr")).to_have_count(shown)
    expect(row(page, ids[0])).to_be_visible()
    expect(page.get_by_role("button", name="Older")).to_be_disabled()
    page.get_by_role("button", name="Newer").click()
    page.get_by_role("button", name="Newer").click()
    expect(row(page, ids[-1])).to_be_visible()
    client.tasks_action("resume", ids[:3])
    expect(chips).to_contain_text("paused117")
    chips.get_by_role("button", name="pending").click()
    expect(page.locator("#task-table tbody tr")).to_have_count(3)
    page.get_by_role("button", name="Batches").click()
    expect(page.locator("#batch-table tr[data-key=paged]")).to_contain_text("120")


def test_workers_are_shown(system: Embedded, open_page: Open) -> None:
    page = open_page(system)
    page.get_by_role("button", name="Workers").click()
    worker = page.locator("#worker-table tbody tr")
    expect(worker).to_have_count(1)
    expect(worker).to_contain_text(re.compile(r"running.* ago"))


# What can be done ------------------------------------------------------------------------------------------------


def test_a_task_is_paused_resumed_relaunched_and_deleted(system: Embedded, open_page: Open) -> None:
    client = system.client()
    id = client.task_create("echo again", status="paused")["task_id"]
    page = open_page(system)
    open_task(page, id)
    expect(page.locator("[data-action=pause]")).to_be_disabled()
    act(page, "resume", "Resume")
    expect(status(page)).to_have_text("succeeded")
    act(page, "relaunch", "Relaunch")
    expect(page.locator("#execution-table tbody tr")).to_have_count(2)
    expect(status(page)).to_have_text("succeeded")
    act(page, "delete", "Cancel")
    expect(page.locator("#task")).to_be_visible()
    act(page, "delete", "Delete")
    expect(page.locator("#task")).to_be_hidden()
    expect(row(page, id)).to_have_count(0)
    expect(page.locator("#said")).to_contain_text("deleted")


def test_a_running_task_is_killed(system: Embedded, open_page: Open) -> None:
    id = system.client().task_create("sleep 1000")["task_id"]
    page = open_page(system)
    open_task(page, id)
    expect(status(page)).to_have_text("running")
    act(page, "kill", "Kill")
    expect(status(page)).to_have_text("failed")


def test_what_the_server_refuses_is_said_in_its_words(system: Embedded, open_page: Open) -> None:
    id = system.client().task_create("true", status="paused")["task_id"]
    page = open_page(system)
    open_task(page, id)
    refusal = '{"message": "not today"}'
    page.route("**/tasks/actions", lambda route: route.fulfill(status=409, body=refusal))
    act(page, "resume", "Resume")
    expect(page.locator("#said")).to_have_text("not today")


def test_everything_can_be_reached_with_the_keyboard(system: Embedded, open_page: Open) -> None:
    id = system.client().task_create("true", status="paused", name="by keyboard")["task_id"]
    page = open_page(system)
    expect(row(page, id)).to_be_visible()
    page.locator("body").press("Tab")
    for _ in range(100):
        if page.evaluate("document.activeElement.closest('tr')?.dataset.key") == str(id):
            break
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator("#task")).to_be_visible()
    page.locator("[data-action=delete]").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#sure")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#sure")).to_be_hidden()
    expect(page.locator("#task")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#task")).to_be_hidden()
    assert page.evaluate("document.activeElement.closest('tr')?.dataset.key") == str(id)


# Who may look ----------------------------------------------------------------------------------------------------


def test_without_a_token_the_page_asks_for_one_and_tells_when_it_is_wrong(system: Embedded, open_page: Open) -> None:
    page = open_page(system, token="")
    expect(page.get_by_label("Token")).to_be_focused()
    expect(page.locator("#main")).to_be_hidden()
    page.get_by_label("Token").fill("wrong-token-wrong-token")
    page.keyboard.press("Enter")
    expect(page.locator("#ask-why")).to_contain_text("token is not the one of this server")
    page.get_by_label("Token").fill((system.machine.data / "token").read_text())
    page.get_by_role("button", name="Go on").click()
    expect(page.locator("#live")).to_have_text("live")
    page.reload()
    expect(page.locator("#live")).to_have_text("live")


def test_the_token_does_not_stay_in_the_address(system: Embedded, open_page: Open) -> None:
    page = open_page(system)
    expect(page.locator("#live")).to_have_text("live")
    assert page.url == f"http://127.0.0.1:{system.port}/ui/"


# How it behaves --------------------------------------------------------------------------------------------------


def test_the_page_says_when_the_server_is_gone_and_goes_on_when_it_is_back(tmp_path: Path, open_page: Open) -> None:
    with embedded(tmp_path) as system:
        server = system.server()
        client = system.client()
        page = open_page(system)
        expect(page.locator("#live")).to_have_text("live")
        server.end()
        expect(page.locator("#lost")).to_be_visible()
        system.server()
        expect(page.locator("#lost")).to_be_hidden()
        client.task_create("echo back")
        expect(page.locator("#task-table")).to_contain_text("echo back")


def test_however_much_happens_the_lists_are_asked_for_once_a_second(system: Embedded, open_page: Open) -> None:
    page, asked = open_page(system), list[float]()
    expect(page.locator("#live")).to_have_text("live")

    def note(answer: Response) -> None:
        if "/tasks/?" in answer.url:
            asked.append(time.monotonic())

    page.on("response", note)
    began, client = time.monotonic(), system.client()
    while time.monotonic() - began < 3:
        client.task_create("true", status="paused", batch="many")
        page.wait_for_timeout(20)
    page.wait_for_timeout(100)
    assert 2 <= len(asked) <= (time.monotonic() - began) + 2


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_telephone_shows_it_without_scrolling_sideways(system: Embedded, open_page: Open, scheme: str) -> None:
    command, batch = "echo " + "very-long-" * 40, "a-batch-of-a-long-name"
    id = system.client().task_create(command, status="paused", batch=batch)["task_id"]
    page = open_page(system, viewport={"width": 400, "height": 800}, color_scheme=scheme)
    expect(row(page, id)).to_be_visible()
    for name in ("Workers", "Batches", "Tasks"):
        page.get_by_role("button", name=name, exact=True).click()
        expect(page.locator(f"#{name.lower()} table")).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= 400
    open_task(page, id)
    assert page.locator("#task").evaluate("one => one.scrollWidth <= one.clientWidth")
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", paper))) < 200) == (scheme == "dark")


def test_what_a_task_uses_and_how_busy_workers_are_is_drawn(system: Embedded, open_page: Open) -> None:
    task = system.client().task_create("sleep 300")["task_id"]
    page = open_page(system)
    page.get_by_role("button", name="Workers").click()
    expect(page.locator("#worker-table tbody .bar")).to_have_count(2)
    expect(page.locator("#worker-table tbody .bar").first).to_have_attribute(
        "title", re.compile("of the CPU.*network", re.S)
    )
    page.get_by_role("button", name="Tasks").click()
    row(page, task).get_by_role("button").click()
    expect(page.locator("#moment svg")).to_have_count(2)
    expect(page.locator("#moment")).to_contain_text("read from disks")
    system.client().task_delete(task)
