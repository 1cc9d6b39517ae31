"""The documentation of the routes: made from them, or held against them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from scitq.web import forms
from scitq.web.app import all_routes
from scitq.web.openapi import document
from scitq.web.routing import AnyRoute, Route
from tests.unit.web.whole import Whole

PAGE = Path(__file__).resolve().parents[3] / "docs" / "rest.md"
DOCUMENT = document(all_routes(), "1")


def operation(route: AnyRoute) -> dict[str, Any]:
    found: dict[str, Any] = DOCUMENT["paths"][route.path][route.method.lower() if isinstance(route, Route) else "get"]
    return found


def named(route: AnyRoute) -> str:
    return f"{getattr(route, 'method', 'WebSocket')} {route.path}"


@pytest.mark.parametrize("route", all_routes(), ids=named)
def test_every_route_stands_in_the_page_with_its_scope(route: AnyRoute) -> None:
    row = f"| {getattr(route, 'method', 'WebSocket')} | `{route.path}` | {route.scope} | {route.summary} |"
    assert row in PAGE.read_text(), "add it to docs/rest.md"


def test_the_page_shows_no_route_that_is_not_there() -> None:
    shown = re.findall(r"^\| (GET|POST|PUT|DELETE|WebSocket) \| `([^`]+)` \|", PAGE.read_text(), re.MULTILINE)
    assert {f"{method} {path}" for method, path in shown} == {named(route) for route in all_routes()}


@pytest.mark.parametrize("route", all_routes(), ids=named)
def test_every_route_is_described_with_its_scope(route: AnyRoute) -> None:
    described = operation(route)
    assert described["x-scope"] == route.scope
    assert bool(described["security"]) == (route.scope != "open")
    assert "401" in described["responses"] or route.scope == "open"
    assert described["summary"] == route.summary


@pytest.mark.parametrize(
    "route", [route for route in all_routes() if isinstance(route, Route) and route.form is not None], ids=named
)
def test_the_fields_of_a_form_are_described_where_they_are_read(route: Route) -> None:
    described = operation(route)
    fields = set(forms.fields_of(route.form))
    if route.method == "GET":
        query = {one["name"] for one in described["parameters"] if one["in"] == "query"}
        assert query == fields
        assert "requestBody" not in described
    elif fields:
        schema = described["requestBody"]["content"]["application/json"]["schema"]
        assert set(DOCUMENT["components"]["schemas"][schema["$ref"].rpartition("/")[2]]["properties"]) == fields


@pytest.mark.parametrize(
    "route", [route for route in all_routes() if isinstance(route, Route) and route.example is not None], ids=named
)
def test_every_example_is_one(route: Route) -> None:
    forms.read(route.form, route.example)


def test_every_reference_leads_somewhere() -> None:
    found = set(re.findall(r"'#/components/schemas/([^']+)'", repr(DOCUMENT)))
    assert found <= set(DOCUMENT["components"]["schemas"])


def test_operations_have_names_of_their_own() -> None:
    names = [one["operationId"] for path in DOCUMENT["paths"].values() for one in path.values() if "operationId" in one]
    assert len(names) == len(set(names))


def test_the_description_needs_no_token(shared: Whole) -> None:
    answer = shared.get("/openapi.json", headers={})
    assert answer.status_code == 200
    assert answer.json()["paths"] == document(all_routes(), "0-test")["paths"]
