"""The documentation says what is there: no broken link, no missing target, no error or event without a word."""

import ast
import re
import subprocess
from pathlib import Path

import pytest

from scitq import explained, explained_transfers
from scitq.domain import wire
from tests.pages import TYPED, WRITTEN

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
TOUR = ROOT / "docs" / "tour.md"
TOUR_LINES = 1_200
TOUR_FILES = re.compile(r"<!--\s*tour files\s*-->(.*?)<!--\s*end of tour files\s*-->", re.DOTALL)
FENCED = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", WRITTEN)
def test_a_page_that_is_made_from_the_program_is_as_that_says(page: str) -> None:
    there = (ROOT / page).read_text() if (ROOT / page).exists() else ""
    assert there == WRITTEN[page](), f"{page} is not as the program says: run `make docs` and commit what it writes"


MARKED = re.compile(r"(?:^<!-- (typed|tested|not run): ([^>]*?) -->\n)?^```sh\n", re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_command_that_is_shown_is_typed_by_a_test_or_says_why_not(page: Path) -> None:
    """Blocks without a mark are typed by tests/e2e/test_docs_typed.py, if it knows the page."""
    for kind, what in MARKED.findall(page.read_text()):
        if kind == "tested":
            assert f"{what!r}".replace("'", '"') in (ROOT / "tests" / "e2e" / "test_backup.py").read_text(), what
        elif kind == "typed":
            assert page.name == "tutorial.md", f"{name(page)} is typed by no test"
        elif kind == "not run":
            assert len(what) > 10, f"{name(page)}: why is it not run?"
        else:
            assert name(page) in TYPED, f"{name(page)} shows commands: put it into TYPED, or say <!-- not run: why -->"


def test_every_decision_is_in_their_index() -> None:
    index = (ROOT / "docs" / "decisions" / "README.md").read_text()
    for page in (ROOT / "docs" / "decisions").glob("0*.md"):
        title = page.read_text().splitlines()[0].split(" ", 2)[2]
        assert f"- [{page.name[:4]}]({page.name}): {title}\n" in index, f"add {page.name} to docs/decisions/README.md"


def test_every_page_is_named_in_the_readme() -> None:
    missing = [page.name for page in (ROOT / "docs").glob("*.md") if f"docs/{page.name}" not in words_of("README.md")]
    assert not missing, f"name in README.md: {missing}"


SYMPTOMS = ROOT / "docs" / "when-things-fail.md"


def test_every_symptom_names_a_test_that_brings_it_about() -> None:
    for section in re.split(r"^### ", SYMPTOMS.read_text(), flags=re.MULTILINE)[1:]:
        named = re.findall(r"<!-- tried: (\S+?)::(\w+) -->", section)
        assert named, f"{section.splitlines()[0]!r} names no test: <!-- tried: tests/…::test_… -->"
        for file, test in named:
            assert f"def {test}" in (ROOT / file).read_text(), f"{file} has no {test}"


def words_of(*pages: str) -> str:
    return "\n".join((ROOT / page).read_text() for page in pages if (ROOT / page).exists())


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    prose = FENCED.sub("", page.read_text())
    targets = {target.partition("#")[0] for target in re.findall(r"\]\(([^)\s]+)\)", prose) if "://" not in target}
    broken = {target for target in targets if target and not (page.parent / target).exists()}
    assert not broken, f"{name(page)} links to what is not there: {sorted(broken)}"


def places_of(page: Path) -> set[str]:
    """What a link into a page may lead to: its headings, as they are shown on the web."""
    found = re.findall(r"^#+ +(.*)$", FENCED.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in found}


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_to_a_place_on_their_page(page: Path) -> None:
    prose = FENCED.sub("", page.read_text())
    links = re.findall(r"\]\(([^)\s#]*)#([^)\s]+)\)", prose)
    targets = [(page.parent / path if path else page, place) for path, place in links if "://" not in path]
    places = {target: places_of(target) for target, _ in targets if target.suffix == ".md"}
    broken = {f"{target.name}#{place}" for target, place in targets if place not in places.get(target, {place})}
    assert not broken, f"{name(page)} links to places that are not there: {sorted(broken)}"


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


def errors_of_ours(file: str = "scitq/errors.py") -> set[str]:
    tree = ast.parse((ROOT / file).read_text())
    return {node.name for node in tree.body if isinstance(node, ast.ClassDef)}


def test_every_error_has_its_entry_in_the_index() -> None:
    of_transfers = {f"scitq.fetch.errors.{one}" for one in errors_of_ours("fetch/errors.py")}
    ours = errors_of_ours() | of_transfers
    missing = ours - {one.error for one in explained.EXPLAINED.values()}
    assert not missing, f"say in scitq/explained.py what they mean and what to do, then `make docs`: {sorted(missing)}"
    gone = {one.error for one in explained.EXPLAINED.values() if one.error} - ours
    assert not gone, f"scitq/explained.py explains what is not there: {sorted(gone)}"


def test_every_entry_of_the_index_says_what_it_means_and_what_to_do() -> None:
    entries = (*explained.REFUSALS, *explained.ERRORS, *explained_transfers.TRANSFERS)
    assert len(explained.EXPLAINED) == len(entries), "a word is there twice"
    for one in explained.EXPLAINED.values():
        assert re.fullmatch(r"[a-z]+(-[a-z]+)*", one.word)
        assert one.means.endswith(".") and one.remedy.endswith("."), one.word
        assert one.error or one.status
        assert one.said or not one.status, f"{one.word}: how is it said?"


def test_every_error_is_explained() -> None:
    errors = errors_of_ours()
    known = set(re.findall(r"`(\w+)`", words_of("docs/glossary.md", "docs/events.md")))
    assert not errors - known, f"explain in docs/glossary.md: {sorted(errors - known)}"


def test_every_event_is_explained() -> None:
    known = set(re.findall(r"`([a-z-]+)`", words_of("docs/events.md", "docs/glossary.md")))
    assert not wire.CURRENT.keys() - known, f"explain in docs/events.md: {sorted(wire.CURRENT.keys() - known)}"
