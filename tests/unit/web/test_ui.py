"""The page's files: there for everybody, the same as on disk, and forbidden to run or load anything else."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.unit.web.site import Site, running

PAGE = Path(__file__).resolve().parents[3] / "web" / "page"
FILES = sorted(path.name for path in PAGE.iterdir())


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with running(tmp_path_factory.mktemp("site")) as site:
        yield site


def get(site: Site, path: str, **headers: str) -> httpx.Response:
    return httpx.get(site.url + path, headers=headers, trust_env=False)


def test_the_address_alone_leads_to_the_page(site: Site) -> None:
    answer = get(site, "/")
    assert (answer.status_code, answer.headers["location"]) == (303, "/ui/")


@pytest.mark.parametrize("path", ["/ui/", "/ui"])
def test_the_page_needs_no_token_and_may_load_only_from_here(site: Site, path: str) -> None:
    answer = get(site, path)
    assert answer.status_code == 200
    assert answer.content == (PAGE / "index.html").read_bytes()
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy


@pytest.mark.parametrize("name", FILES)
def test_each_part_is_sent_with_its_type_and_once(site: Site, name: str) -> None:
    answer = get(site, f"/ui/{name}")
    assert answer.content == (PAGE / name).read_bytes()
    kinds = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
    assert answer.headers["content-type"] == f"{kinds[Path(name).suffix]}; charset=utf-8"
    again = get(site, f"/ui/{name}", **{"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    # A browser that keeps the file applies the headers of this answer to it.
    assert again.headers["content-security-policy"] == answer.headers["content-security-policy"]


@pytest.mark.parametrize("name", ["nothing.js", "..%2fui.py", "%2e%2e", "page.js%00", ".."])
def test_there_is_nothing_else(site: Site, name: str) -> None:
    assert get(site, f"/ui/{name}").status_code in (303, 404)
    assert b"import" not in get(site, f"/ui/{name}").content


def test_no_part_holds_what_its_policy_forbids() -> None:
    for name in FILES:
        if name.endswith(".html"):
            text = (PAGE / name).read_text()
            assert not re.search(r"<script(?![^>]*\ssrc=)|\son\w+=|\sstyle=|<style|://", text)
        assert not re.search(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b", (PAGE / name).read_text()
        )


def programs(page: str) -> set[str]:
    """What a page loads, and what that loads."""
    found = set(re.findall(r'src="/ui/([\w.]+)"', (PAGE / page).read_text()))
    while (
        more := {one for name in found for one in re.findall(r'from "\./([\w.]+)"', (PAGE / name).read_text())} - found
    ):
        found |= more
    return found


@pytest.mark.parametrize(("page", "most"), [("index.html", "page.js"), ("docs.html", "docs.js")])
def test_every_element_that_the_program_names_is_in_the_page(page: str, most: str) -> None:
    there = set(re.findall(r'\bid="([\w-]+)"', (PAGE / page).read_text()))
    names = programs(page) - ({"show.js"} if page == "docs.html" else set())  # of which it uses what names nothing
    named = {id for name in names for id in re.findall(r'(?:\$|table)\("([\w-]+)"', (PAGE / name).read_text())}
    assert named <= there
    assert most in names and len(named) > 5
