"""`/openapi.json` (OpenAPI 3.1), made of the routes and their models; no schema in it is written by hand."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import Literal

import orjson
from pydantic import BaseModel, JsonValue, RootModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode, JsonSchemaValue, models_json_schema
from pydantic_core import core_schema

from watcher import __version__
from watcher.http.asked import WatchId, WebhookName
from watcher.http.problems import JSON, PROBLEM, Problem
from watcher.http.route import Route

REF = "#/components/schemas/{model}"
IN_PATH = {"id": WatchId, "name": WebhookName}
ALWAYS = (400, 406, 421, 500, 503)  # problems that each route may answer with


class Document(RootModel[dict[str, JsonValue]]):
    """An OpenAPI document."""


class _Schema(GenerateJsonSchema):
    """JSON schemas, with durations as people write them."""

    def timedelta_schema(self, schema: core_schema.TimedeltaSchema) -> JsonSchemaValue:  # noqa: ARG002  # pydantic's
        """Describe a duration."""
        return {"type": ["string", "number"], "examples": ["10m", "2h", 90]}


class _ParameterSchema(_Schema):
    """Schemas of parameters, which cannot be null but only missing."""

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        """Describe what it is where it is there."""
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        """Name a default that can be written."""
        written = super().default_schema(schema)
        return {key: value for key, value in written.items() if key != "default" or value is not None}


class _Describer:
    """Describes routes as they are served, with a token or without."""

    def __init__(self, routes: Iterable[Route], *, has_token: bool) -> None:
        self._has_token = has_token
        self._schemas, definitions = models_json_schema(
            list(_models(routes)), ref_template=REF, schema_generator=_Schema
        )
        self.components: JsonSchemaValue = {"schemas": definitions["$defs"]}
        if has_token:
            self.components["securitySchemes"] = {"bearer": {"type": "http", "scheme": "bearer"}}

    def operation(self, route: Route) -> JsonSchemaValue:
        """Describe one route."""
        described: JsonSchemaValue = {
            "operationId": f"{route.method.lower()} {route.path}",
            "summary": route.summary,
            "parameters": [*_parameters(route.query, "query"), *_parameters(route.headers, "header")],
            "responses": dict(self._responses(route)),
        }
        for name in route.names:
            schema = self._schemas[IN_PATH[name], "validation"]
            described["parameters"].append({"name": name, "in": "path", "required": True, "schema": schema})
        if route.body is not None:
            content = {JSON: {"schema": self._schemas[route.body, "validation"]}}
            described["requestBody"] = {"required": True, "content": content}
        if self._needs_token(route):
            described["security"] = [{"bearer": []}]
        return described

    def _responses(self, route: Route) -> Iterator[tuple[str, JsonSchemaValue]]:
        for status, model in route.answers.items():
            schema = {} if model is None else {"schema": self._schemas[model, "serialization"]}
            yield str(status), _response(status, {route.content.partition(";")[0]: schema})
        always = (*ALWAYS, 401) if self._needs_token(route) else ALWAYS
        for status in sorted({*always, *route.problems}):
            yield str(status), _response(status, {PROBLEM: {"schema": self._schemas[Problem, "serialization"]}})

    def _needs_token(self, route: Route) -> bool:
        return self._has_token and not route.is_public


def document(routes: Sequence[Route], *, has_token: bool) -> bytes:
    """Write the document."""
    describer = _Describer(routes, has_token=has_token)
    paths: dict[str, JsonSchemaValue] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = describer.operation(route)
    info = {"title": "watcher", "version": __version__}
    return orjson.dumps({"openapi": "3.1.0", "info": info, "paths": paths, "components": describer.components})


def _models(routes: Iterable[Route]) -> Iterator[tuple[type[BaseModel], JsonSchemaMode]]:
    """Yield all that is read or written."""
    for route in routes:
        if route.body is not None:
            yield route.body, "validation"
        for model in route.answers.values():
            if model is not None:
                yield model, "serialization"
    for model in IN_PATH.values():
        yield model, "validation"
    yield Problem, "serialization"


def _parameters(model: type[BaseModel] | None, place: Literal["query", "header"]) -> list[JsonSchemaValue]:
    if model is None:
        return []
    schema = model.model_json_schema(schema_generator=_ParameterSchema)
    return [
        {"name": name, "in": place, "required": name in schema.get("required", ()), "schema": written}
        for name, written in schema["properties"].items()
    ]


def _response(status: int, content: Mapping[str, JsonSchemaValue]) -> JsonSchemaValue:
    return {"description": HTTPStatus(status).phrase, "content": content}
