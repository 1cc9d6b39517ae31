"""The description of all routes, made of their declarations: what is documented is what is checked."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from starlette.responses import Response

from scitq import explained
from scitq.web import examples, forms, meanings, ui
from scitq.web.errors import help_at
from scitq.web.lists import NEXT
from scitq.web.routing import POSITION, Answer, AnyRoute, Call, Route, Socket, json
from scitq.web.services import Services

_PARAMETER = re.compile(r"\{([a-z_]+)\}")
_SCHEMAS = "#/components/schemas/{model}"
_RESPONSES = "#/components/responses/{name}"
_STATUSES: Final = frozenset(one.status for one in explained.REFUSALS if one.status)
_BOUNDS: Final = {"ge": "minimum", "le": "maximum", "gt": "exclusiveMinimum", "lt": "exclusiveMaximum"}
_ID: Final = {"type": "integer", "minimum": 1, "maximum": forms.LARGEST_ID}
_ERROR: Final = {
    "type": "object",
    "required": ["message"],
    "properties": {
        "message": {"type": "string", "description": "A sentence for the user."},
        "help": {"type": "string", "description": "Where this server explains it."},
        "errors": {
            "type": "object",
            "additionalProperties": {"type": "string"},
            "description": "Of a form: what is wrong with each field.",
        },
    },
}
_KEY: Final = {
    "name": "Idempotency-Key", "in": "header", "required": False,
    "description": "The same key again is the same effect once, and the same answer.",
    "schema": {"type": "string", "minLength": 8, "maxLength": 64, "pattern": "^[A-Za-z0-9._:-]+$"},
}  # fmt: skip
_FROM: Final = {
    "name": POSITION, "in": "header", "required": False,
    "description": "Wait up to two seconds until what is read reflects this position.",
    "schema": {"type": "integer", "minimum": 0, "maximum": 10**12},
}  # fmt: skip


class Documents:
    """Made once, when somebody asks."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._document: dict[str, Any] | None = None

    def of(self, routes: Iterable[AnyRoute]) -> dict[str, Any]:
        if self._document is None:
            self._document = document(routes, self._services.version)
        return self._document

    async def close(self) -> None:
        self._document = None


async def show(call: Call) -> Response:
    from scitq.web.app import all_routes  # it lists this module too

    return json(call.services.part(Documents).of(all_routes()))


def document(routes: Iterable[AnyRoute], version: str) -> dict[str, Any]:
    """OpenAPI 3.1."""
    schemas: dict[str, Any] = {"Error": _ERROR}
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        methods = paths.setdefault(route.path, {})
        if isinstance(route, Route):
            methods[route.method.lower()] = _operation(route, schemas)
        else:
            methods["get"] = _socket(route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "scitq",
            "version": version,
            "description": "A task queue for scientific computing. docs/rest.md says what all routes have in common.",
        },
        "paths": paths,
        "x-refusals": [one._asdict() for one in explained.REFUSALS],
        "components": {
            "schemas": schemas,
            "responses": {_refused(status): _refusal(status) for status in sorted(_STATUSES)},
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "basic": {
                    "type": "http",
                    "scheme": "basic",
                    "description": "Any user name; the password is the token.",
                },
            },
        },
    }


def _operation(route: Route, schemas: dict[str, Any]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "summary": route.summary,
        "operationId": f"{route.method.lower()}{re.sub('[^a-z]+', '_', route.path).rstrip('_')}",
        "tags": [_tag(route)],
        "x-scope": route.scope,
        "security": [] if route.scope == "open" else [{"bearer": []}, {"basic": []}],
        "parameters": [_path_parameter(name, route.named) for name in _PARAMETER.findall(route.path)],
        "responses": {},
    }
    said = [_said_of(route), route.doc]
    if any(said):
        operation["description"] = " ".join(text for text in said if text)
    if route.scope == "read":
        operation["parameters"].append(_FROM)
    if route.scope == "write":
        operation["parameters"].append(_KEY)
    if route.form is not None:
        schema = _schema_of(route.form, schemas)
        if route.method == "GET":
            operation["parameters"] += _query(schema, schemas, route.example or {})
        elif route.form is not forms.Nothing:
            content: dict[str, Any] = {"schema": schema}
            if route.example is not None:
                content["example"] = route.example
            needed = bool(_resolved(schema, schemas).get("required"))
            operation["requestBody"] = {"required": needed, "content": {"application/json": content}}
    for status, answer in route.answers.items():
        if status not in _STATUSES or answer.shape is not None:
            operation["responses"][str(status)] = _response(route, answer, schemas)
    for status in {*_common(route), *route.answers} & _STATUSES:
        operation["responses"].setdefault(str(status), {"$ref": _RESPONSES.format(name=_refused(status))})
    operation["responses"] = dict(sorted(operation["responses"].items()))
    return operation


def _said_of(route: Route) -> str:
    """What the form of a GET says of its fields; that of a body has a schema to say it."""
    if route.method != "GET" or route.form in (None, forms.Nothing):
        return ""
    return " ".join((route.form.__doc__ or "").split()) if route.form.__doc__ != forms.Form.__doc__ else ""


def _socket(route: Socket) -> dict[str, Any]:
    return {
        "summary": route.summary,
        "description": f"A WebSocket{f' of subprotocol {route.subprotocol}' if route.subprotocol else ''}. {route.doc}",
        "tags": [_tag(route)],
        "x-scope": route.scope,
        "x-websocket": True,
        "security": [{"bearer": []}, {"basic": []}],
        "parameters": [_path_parameter(name) for name in _PARAMETER.findall(route.path)],
        "responses": {
            "101": {"description": "The connection is a WebSocket now"},
            **{str(status): {"$ref": _RESPONSES.format(name=_refused(status))} for status in (401, 403, 426)},
        },
    }


def _tag(route: AnyRoute) -> str:
    return route.path.strip("/").partition("/")[0] or "server"


def _path_parameter(name: str, named: str = "") -> dict[str, Any]:
    schema = _ID if name.endswith("_id") else {"type": "string", "minLength": 1}
    example = examples.PARAMETERS.get(name, named)
    return {"name": name, "in": "path", "required": True, "schema": schema, "example": example}


def _common(route: Route) -> set[int]:
    """The refusals that any route of this kind may answer with."""
    found = {400}
    if route.scope != "open":
        found |= {401, 403, 503}
    if _PARAMETER.search(route.path) or route.path.endswith("/status") or route.scope == "write":
        found.add(404)
    if route.form is not None:
        found.add(413)
    if route.method != "GET":
        found |= {409, 415}
    return found


def _refused(status: int) -> str:
    return f"Refused{status}"


def _refusal(status: int) -> dict[str, Any]:
    """All refusals of a status: what they mean, and how each of them looks."""
    found = [one for one in explained.REFUSALS if one.status == status]
    shown: dict[str, Any] = {}
    for one in found:
        value: dict[str, Any] = {"message": one.said, "help": help_at(one.word)}
        if status == 400:
            field, _, why = one.said.partition(": ")
            value["errors"] = {field: why}
        shown[one.word] = {"summary": one.means, "value": value}
    content = {"schema": {"$ref": _SCHEMAS.format(model="Error")}, "examples": shown}
    return {"description": " Or: ".join(one.means for one in found), "content": {"application/json": content}}


def _response(route: Route, answer: Answer, schemas: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {"description": answer.what}
    if answer.shape is not None:
        content = {"schema": _schema_of(answer.shape, schemas, "serialization")}
        example = examples.of_shape(answer.shape)
        if example is not None:
            content["example"] = example
        found["content"] = {answer.media: content}
    elif answer.media not in ("", "application/json"):
        found["content"] = {answer.media: {"schema": {"type": "string"}}}
    if route.scope in ("read", "write"):
        found["headers"] = {POSITION: {"schema": {"type": "integer"}}}
        if route.form is not None and "limit" in forms.fields_of(route.form):
            found["headers"][NEXT] = {
                "schema": {"type": "integer"},
                "description": "There may be more, behind this id.",
            }
    return found


def _schema_of(kind: Any, schemas: dict[str, Any], mode: Any = "validation") -> dict[str, Any]:
    """A schema; what it refers to is put beside the others."""
    made: dict[str, Any] = _plain(forms.adapter(kind).json_schema(ref_template=_SCHEMAS, mode=mode))
    for name, definition in made.pop("$defs", {}).items():
        if mode == "validation":
            _explain(definition)
        _add(schemas, name, definition)
    name = made.get("title")
    if mode == "validation":
        _explain(made)
    if made.get("type") == "object" and isinstance(name, str):
        _add(schemas, unique := _name_of(kind, name), made)
        return {"$ref": _SCHEMAS.format(model=unique)}
    return made


def _explain(form: dict[str, Any]) -> None:
    """Say of each field what it means."""
    for name, field in form.get("properties", {}).items():
        meaning = meanings.of_field(str(form.get("title")), name)
        if meaning is not None:
            field["description"] = meaning


def _plain(schema: Any) -> Any:
    """In the words of JSON Schema: bounds behind a validator keep their Python names. And without the format of dates:
    that one has an offset, and ours are UTC without saying so."""
    if isinstance(schema, dict):
        found = {key: _plain(value) for key, value in schema.items() if (key, value) != ("format", "date-time")}
        return {_BOUNDS.get(key, key) if isinstance(value, int) else key: value for key, value in found.items()}
    return [_plain(part) for part in schema] if isinstance(schema, list) else schema


def _name_of(kind: Any, title: str) -> str:
    """Forms of different modules may have the same name: `tasks.Filter` is TasksFilter."""
    module = str(getattr(kind, "__module__", "")).rpartition(".")[2]
    return title if module in ("shapes", "forms", "") else f"{module.title().replace('_', '')}{title}"


def _add(schemas: dict[str, Any], name: str, definition: dict[str, Any]) -> None:
    if schemas.setdefault(name, definition) != definition:
        raise TypeError(f"two different schemas are called {name}")


def _resolved(schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> Mapping[str, Any]:
    ref = schema.get("$ref")
    found: Mapping[str, Any] = schema if ref is None else schemas[ref.rpartition("/")[2]]
    return found


def _query(schema: Mapping[str, Any], schemas: Mapping[str, Any], example: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The fields of a form, each as a parameter of the query. A null is a field that is not sent."""
    form = _resolved(schema, schemas)
    required = form.get("required", ())
    found = []
    for name, field in form.get("properties", {}).items():
        content = {key: value for key, value in field.items() if key not in ("title", "default", "anyOf")}
        choices = [one for one in field.get("anyOf", ()) if one.get("type") != "null"]
        if len(choices) == 1:
            content.update(choices[0])
        elif choices:
            content["anyOf"] = choices
        parameter: dict[str, Any] = {"name": name, "in": "query", "required": name in required, "schema": content}
        if content.get("type") == "array":
            parameter |= {"style": "form", "explode": True}
        if name in example:
            parameter["example"] = example[name]
        found.append(parameter)
    return found


async def page(call: Call) -> Response:
    return ui.file(call, "docs.html")


ROUTES = [
    Route(
        "GET",
        "/docs",
        "open",
        page,
        "All routes to read and to try, and what can go wrong",
        answers={200: Answer("The page", media="text/html")},
    ),
    Route(
        "GET", "/openapi.json", "open", show, "This description", answers={200: Answer("OpenAPI 3.1", dict[str, Any])}
    ),
]
