"""The documentation says what is there: no broken link, no missing target, no error or event without a word."""

import ast
import re
import subprocess
from pathlib import Path

import pytest

from scitq.domain import wire

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
TOUR = ROOT / "docs" / "tour.md"
TOUR_LINES = 1_200
TOUR_FILES = re.compile(r"<!--\s*tour files\s*-->(.*?)<!--\s*end of tour files\s*-->", re.DOTALL)
FENCED = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def words_of(*pages: str) -> str:
    return "\n".join((ROOT / page).read_text() for page in pages if (ROOT / page).exists())


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    prose = FENCED.sub("", page.read_text())
    targets = {target.partition("#")[0] for target in re.findall(r"\]\(([^)\s]+)\)", prose) if "://" not in target}
    broken = {target for target in targets if target and not (page.parent / target).exists()}
    assert not broken, f"{name(page)} links to what is not there: {sorted(broken)}"


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_make_target_shown_exists(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    shown = set(re.findall(r"(?:^|`)make ([a-z-]+)", page.read_text(), re.MULTILINE))
    assert shown <= targets, f"{name(page)} shows targets the Makefile lacks: {sorted(shown - targets)}"


def test_make_help_lists_every_target() -> None:
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    shown = subprocess.run(["make", "-C", str(ROOT), "help"], capture_output=True, text=True, check=True).stdout
    assert re.findall(r"^ +make ([a-z-]+)", shown, re.MULTILINE) == targets


def tour() -> str:
    if not TOUR.exists():
        pytest.skip("docs/tour.md is not written yet (the README's link to it fails above)")
    return TOUR.read_text()


def test_every_file_named_in_the_tour_exists() -> None:
    named = set(re.findall(r"`([a-z_]+(?:/[a-z_0-9]+)+\.[a-z]+)`", tour()))
    assert named, "the tour names no file"
    missing = {path for path in named if not (ROOT / path).exists()}
    assert not missing, f"docs/tour.md names what is not there: {sorted(missing)}"


def test_the_files_of_the_tour_are_read_in_an_hour() -> None:
    listed = TOUR_FILES.search(tour())
    assert listed, "docs/tour.md lists its files between <!-- tour files --> and <!-- end of tour files -->"
    paths = re.findall(r"[a-z_]+(?:/[a-z_0-9]+)+\.py", listed[1])
    lines = {path: len((ROOT / path).read_text().splitlines()) for path in dict.fromkeys(paths)}
    assert lines, "the list of the tour's files is empty"
    assert sum(lines.values()) < TOUR_LINES, f"{sum(lines.values())} lines to read: {lines}"


def test_every_error_is_explained() -> None:
    tree = ast.parse((ROOT / "scitq" / "errors.py").read_text())
    errors = {node.name for node in tree.body if isinstance(node, ast.ClassDef)}
    known = set(re.findall(r"`(\w+)`", words_of("docs/glossary.md", "docs/events.md")))
    assert not errors - known, f"explain in docs/glossary.md: {sorted(errors - known)}"


def test_every_event_is_explained() -> None:
    known = set(re.findall(r"`([a-z-]+)`", words_of("docs/events.md", "docs/glossary.md")))
    assert not wire.CURRENT.keys() - known, f"explain in docs/events.md: {sorted(wire.CURRENT.keys() - known)}"
