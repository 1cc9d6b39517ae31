"""Every example of the documentation is sent just as it is shown; what comes back is what is documented."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import httpx
import jsonschema_rs
import pytest
from schemathesis.specs.openapi.definitions import OPENAPI_31_VALIDATOR

from scitq import explained
from scitq.web import forms, meanings, outputs, task_forms
from scitq.web.app import all_routes
from scitq.web.examples import PARKED
from scitq.web.openapi import document
from scitq.web.routing import Route
from tests.services.waiting import eventually
from tests.unit.web.whole import BEARER, Whole, whole

DOCUMENT: Final = document(all_routes(), "0-test")
ROUTES: Final = [route for route in all_routes() if isinstance(route, Route)]
REFUSED: Final = {"/workers/broker": 409}
"""A server without a broker gives out no users of it."""
JSON: Final = {**BEARER, "Content-Type": "application/json"}
OPEN_ENDED: Final = {"headers", "payload", "body"}
"""What they hold depends on what it is about."""


def operation(route: Route) -> dict[str, Any]:
    found: dict[str, Any] = DOCUMENT["paths"][route.path][route.method.lower()]
    return found


def named(route: Route) -> str:
    return f"{route.method} {route.path}"


def told(server: Whole) -> str:
    """Live the story that the examples tell; the id of the message that was put aside in it."""
    agent = server.agent("node1", concurrency=4, batches=("samples",))
    server.task("gzip -9 s1.fastq", batch="samples", name="s1", retry=1)
    agent.start(1)
    server.task("gzip -9 s2.fastq", batch="samples", status="paused")
    server.bus.send("commands", b"one", {"actor": "ada"})
    return eventually(lambda: next((one.id for one in server.bus.parked()), None))


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Whole, str]]:
    """For those routes that only look."""
    with whole(tmp_path_factory.mktemp("store")) as server:
        yield server, told(server)


def ask(server: Whole, route: Route, parked: str) -> httpx.Response:
    """The example, as the document gives it."""
    described = operation(route)
    path = route.path
    for parameter in described["parameters"]:
        if parameter["in"] == "path":
            path = path.replace(f"{{{parameter['name']}}}", str(parameter["example"]))
    query = {
        one["name"]: one["example"] for one in described["parameters"] if one["in"] == "query" and "example" in one
    }
    body = described.get("requestBody", {}).get("content", {}).get("application/json", {}).get("example")
    headers = BEARER if described["security"] else {}
    return server.ask(route.method, path.replace(PARKED, parked), body, params=query, headers=headers)


def schema_of(described: Any) -> dict[str, Any]:
    schema: dict[str, Any] = copy.deepcopy(described["schema"])
    return {**schema, "components": DOCUMENT["components"]}


def response_of(route: Route, status: int) -> dict[str, Any]:
    found: dict[str, Any] = operation(route)["responses"][str(status)]
    if "$ref" in found:
        found = DOCUMENT["components"]["responses"][found["$ref"].rpartition("/")[2]]
    return found


def keys_of(value: Any, name: str = "") -> Any:
    """Its form: the names of its fields, at every depth."""
    if isinstance(value, dict) and name not in OPEN_ENDED | {"refused"}:
        return {key: keys_of(one, key) for key, one in value.items()}
    if isinstance(value, list):
        return [keys_of(one) for one in value[:1] if isinstance(one, dict)]
    return None


@pytest.mark.parametrize("route", ROUTES, ids=named)
def test_an_example_is_answered_as_it_is_documented(route: Route, story: tuple[Whole, str], tmp_path: Path) -> None:
    if route.method == "GET":
        _hold(route, ask(story[0], route, story[1]))
        return
    with whole(tmp_path / "store") as server:
        _hold(route, ask(server, route, told(server)))


def _hold(route: Route, answer: httpx.Response) -> None:
    wanted = REFUSED.get(route.path)
    assert answer.status_code == wanted if wanted else answer.status_code < 400, answer.text
    described = response_of(route, answer.status_code)
    for media, content in described.get("content", {}).items():
        assert answer.headers["content-type"].partition(";")[0] == media.partition(";")[0]
        if media != "application/json":
            continue
        jsonschema_rs.validator_for(schema_of(content)).validate(answer.json())
        if "example" in content and answer.json():
            real, shown = keys_of(answer.json()), keys_of(content["example"])
            assert _known(real, shown), f"the example in web/examples.py is not like what comes: {real} {shown}"


def _known(real: Any, shown: Any) -> bool:
    """The same fields; a list may be empty in one of them."""
    if isinstance(real, dict) and isinstance(shown, dict):
        return real.keys() == shown.keys() and all(_known(real[key], shown[key]) for key in real)
    if isinstance(real, list) and isinstance(shown, list):
        return not real or not shown or _known(real[0], shown[0])
    return True


@pytest.mark.parametrize("route", ROUTES, ids=named)
def test_a_route_that_reads_something_shows_an_example(route: Route) -> None:
    if route.form is not None and forms.fields_of(route.form):
        assert route.example, f"{named(route)} has no example: give it one in its declaration"
    for parameter in operation(route)["parameters"]:
        if parameter["in"] == "path":
            assert parameter["example"], f"{named(route)}: {parameter['name']} has no example (`named`)"


@pytest.mark.parametrize("route", [one for one in ROUTES if one.form is not None], ids=named)
def test_every_field_of_a_form_says_what_it_means(route: Route) -> None:
    missing = [name for name in forms.fields_of(route.form) if not meanings.of_field(route.form.__name__, name)]
    assert not missing, f"say in web/meanings.py what they mean: {missing}"


def test_no_meaning_is_given_to_what_is_not_there() -> None:
    kinds = {route.form for route in ROUTES if route.form is not None} | {task_forms.NewTask}
    there = {name for kind in kinds for name in forms.fields_of(kind)}
    there |= {f"{kind.__name__}.{name}" for kind in [*kinds, outputs.Part] for name in forms.fields_of(kind)}
    assert not meanings.FIELDS.keys() - there


def contents() -> Iterator[tuple[str, Any]]:
    """Whatever has a schema and may have examples."""
    for name, response in DOCUMENT["components"]["responses"].items():
        yield name, response["content"]["application/json"]
    for route in ROUTES:
        for status, response in operation(route)["responses"].items():
            for content in response.get("content", {}).values():
                yield f"{named(route)} {status}", content
        for content in operation(route).get("requestBody", {}).get("content", {}).values():
            yield f"{named(route)} body", content
        for parameter in operation(route)["parameters"]:
            yield f"{named(route)} {parameter['name']}", parameter


@pytest.mark.parametrize(("name", "content"), [pytest.param(*found, id=found[0]) for found in contents()])
def test_every_schema_is_one_and_every_example_fits(name: str, content: Any) -> None:
    schema = schema_of(content)
    assert jsonschema_rs.meta.is_valid({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema})
    assert not _python_words(content["schema"]), f"{name}: a bound that no JSON Schema knows"
    shown = [content["example"]] if "example" in content else []
    for one in (*shown, *(one["value"] for one in content.get("examples", {}).values())):
        jsonschema_rs.validator_for(schema).validate(one)


def _python_words(schema: Any) -> bool:
    if isinstance(schema, dict):
        return bool({"ge", "le", "gt", "lt"} & schema.keys()) or any(map(_python_words, schema.values()))
    return isinstance(schema, list) and any(map(_python_words, schema))


def test_the_document_is_one_of_openapi_3_1() -> None:
    OPENAPI_31_VALIDATOR.validate(DOCUMENT)


def test_every_schema_beside_the_routes_is_one_too() -> None:
    for name, schema in DOCUMENT["components"]["schemas"].items():
        assert jsonschema_rs.meta.is_valid({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}), name
        assert not _python_words(schema), name


@pytest.mark.parametrize(
    ("word", "asked"),
    {
        "malformed": ("POST", "/tasks/", {"json": {"command": "echo", "bach": "samples"}}),
        "not-allowed": ("GET", "/tasks/", {"headers": {}}),
        "other-site": ("GET", "/tasks/", {"headers": {**BEARER, "Sec-Fetch-Site": "cross-site"}}),
        "not-found": ("GET", "/tasks/999", {}),
        "wrong-method": ("PUT", "/tasks/", {"json": {}}),
        "too-large": ("POST", "/tasks/", {"content": b" " * 8_400_000, "headers": JSON}),
        "not-json": ("POST", "/tasks/", {"content": b"{}"}),
        "websocket": ("GET", "/workers/gateway", {}),
        "out-of-range": ("GET", "/executions/1/stdout", {"headers": {**BEARER, "Range": "bytes=6-"}}),
    }.items(),
)  # fmt: skip
def test_a_refusal_names_its_entry_and_is_said_as_it_is_shown(
    story: tuple[Whole, str], word: str, asked: tuple[str, str, dict[str, Any]]
) -> None:
    method, path, more = asked
    answer = story[0].ask(method, path, **more)
    entry = explained.EXPLAINED[word]
    assert (answer.status_code, answer.json()["help"]) == (entry.status, f"/docs/#{word}")
    said = entry.said.replace("6 bytes", "0 bytes")  # this one has printed nothing yet
    assert answer.json()["message"] == said


def test_a_key_for_another_request_and_what_is_impossible_are_said_as_they_are_shown(server: Whole) -> None:
    key = {**BEARER, "Idempotency-Key": "the-same-key"}
    agent = server.agent()
    agent.succeed(server.task())
    refused = server.put("/tasks/1", {"status": "paused"}).json()
    assert refused["message"] == explained.EXPLAINED["rejected"].said and refused["help"] == "/docs/#rejected"
    server.put("/batch/samples/stop", {}, headers=key)
    again = server.post("/tasks/", {"command": "echo"}, headers=key).json()
    assert again["message"] == explained.EXPLAINED["key-used"].said and again["help"] == "/docs/#key-used"
