"""The vendor's OpenAPI 3.0.1 document: what it says about a request and about an answer.

Objects are read as closed: a property that the document does not name counts as a violation,
though OpenAPI by itself would let it pass. Otherwise a misspelt field would go unseen.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import parse_qsl

from jsonschema.exceptions import ValidationError
from openapi_schema_validator import (
    OAS30ReadValidator,
    OAS30WriteValidator,
    oas30_format_checker,
)
from referencing import Registry
from referencing.jsonschema import DRAFT4

from tests.contract.recorder import Exchange

URN = "urn:dr"
JSON = "application/json"
ERRORS = "/components/schemas/Errors"
# An undocumented call, and the one that answers alike (PLATFORM §2.1).
ALIKE = {("POST", "/orders/{id}/refresh"): "/paths/~1orders~1%7Bid%7D/get/responses/200"}


@dataclass(frozen=True, slots=True)
class Violation:
    """One departure from the document. `where` is the place in the message, with `*` for lists;
    `rule` the keyword or the part that is broken, `schema` the place in the document."""

    method: str
    template: str
    status: int | None
    where: str
    rule: str
    value: str
    schema: str = ""

    def __str__(self) -> str:
        status = "" if self.status is None else f" {self.status}"
        head = f"{self.method} {self.template}{status}: {self.where or 'body'}"
        return f"{head}: {self.rule} {self.value[:160]} ({self.schema})"


@dataclass(frozen=True)
class Operation:
    """A method of a path, and where it stands in the document."""

    document: Document
    method: str
    template: str

    @property
    def pointer(self) -> str:
        return f"/paths/{_escaped(self.template)}/{self.method.lower()}"

    @cached_property
    def contents(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.document.contents["paths"][self.template][
            self.method.lower()
        ]
        return found

    def parameters(self, place: str) -> dict[str, Mapping[str, Any]]:
        """By name. `place`: query, path or header."""
        shared = self.document.contents["paths"][self.template].get("parameters", ())
        every = (*shared, *self.contents.get("parameters", ()))
        return {each["name"]: each for each in every if each["in"] == place}

    def violation(self, where: str, rule: str, value: object, status: int | None) -> Violation:
        return Violation(self.method, self.template, status, where, rule, str(value), self.pointer)


@dataclass(frozen=True)
class Document:
    """The document, closed (see above)."""

    contents: Mapping[str, Any]

    @classmethod
    def of(cls, raw: bytes) -> Document:
        return cls(_closed(json.loads(raw)))

    @cached_property
    def registry(self) -> Registry[Any]:
        empty: Registry[Any] = Registry()
        known: Registry[Any] = empty.with_resource(URN, DRAFT4.create_resource(self.contents))
        return known

    @cached_property
    def templates(self) -> list[tuple[re.Pattern[str], str]]:
        """Paths without parameters first: `/checkouts/store-credits` is no id."""
        paths = sorted(self.contents["paths"], key=lambda path: (path.count("{"), path))
        return [(re.compile(re.sub(r"\{[^}]*\}", "[^/]+", path)), path) for path in paths]

    def template(self, path: str) -> str | None:
        """The path of the document that a request's path is one of."""
        return next((known for form, known in self.templates if form.fullmatch(path)), None)

    def operation(self, method: str, path: str) -> Operation | None:
        """What the document says about this request, if anything."""
        template = self.template(path)
        if template is None or method.lower() not in self.contents["paths"][template]:
            return None
        return Operation(self, method, template)

    def request(self, exchange: Exchange) -> Iterator[Violation]:
        """How a request departs from the document."""
        operation = self.operation(exchange.method, exchange.path)
        if operation is None:
            yield _undeclared(exchange, "operation", None)
            return
        yield from _query(operation, exchange)
        yield from self._request_body(operation, exchange)

    def _request_body(self, operation: Operation, exchange: Exchange) -> Iterator[Violation]:
        body = operation.contents.get("requestBody")
        if body is None:
            if exchange.body:
                yield operation.violation("", "body where none is declared", exchange.body, None)
            return
        if JSON not in body["content"] or not exchange.body:
            yield operation.violation("", "JSON body expected", exchange.body, None)
            return
        pointer = f"{operation.pointer}/requestBody/content/{_escaped(JSON)}/schema"
        yield from self._against(pointer, json.loads(exchange.body), operation, None)

    def answer(self, exchange: Exchange) -> Iterator[Violation]:
        """How an answer departs from the document."""
        status = exchange.status
        operation = self.operation(exchange.method, exchange.path)
        if operation is None:
            yield from self._undeclared_answer(exchange)
            return
        declared = operation.contents["responses"].get(str(status))
        if declared is None:
            yield operation.violation("", "undeclared status", exchange.answer[:120], status)
            yield from self._answer_body(operation, ERRORS, exchange)
            return
        if not declared.get("content"):
            if exchange.answer:
                yield operation.violation("", "body where none is declared", "", status)
            return
        pointer = f"{operation.pointer}/responses/{status}/content/{_escaped(JSON)}/schema"
        yield from self._answer_body(operation, pointer, exchange)

    def _undeclared_answer(self, exchange: Exchange) -> Iterator[Violation]:
        """404 and 405 are how the platform says that it has no such call."""
        undeclared = _undeclared(exchange, "operation", exchange.status)
        operation = Operation(self, exchange.method, undeclared.template)
        alike = ALIKE.get((exchange.method, undeclared.template))
        pointer = ERRORS
        if exchange.status not in (404, 405):
            yield undeclared
        if exchange.status < 400 and alike:
            pointer = f"{alike}/content/{_escaped(JSON)}/schema"
        yield from self._answer_body(operation, pointer, exchange)

    def _answer_body(
        self, operation: Operation, pointer: str, exchange: Exchange
    ) -> Iterator[Violation]:
        status = exchange.status
        if status >= 400 and not exchange.answer:
            return  # what is declared is a potential body (OpenAPI 3.0, Response Object)
        kind = exchange.answer_headers.get("content-type", "").partition(";")[0]
        if kind != JSON:
            yield operation.violation("", "not JSON", kind or "nothing", status)
            return
        yield from self._against(pointer, json.loads(exchange.answer), operation, status)

    def _against(
        self, pointer: str, value: Any, operation: Operation, status: int | None
    ) -> Iterator[Violation]:
        kind = OAS30WriteValidator if status is None else OAS30ReadValidator
        validator = kind(
            {"$ref": f"{URN}#{pointer}"},
            registry=self.registry,
            format_checker=oas30_format_checker,
        )
        for error in validator.iter_errors(value):
            for detail in _details(error):
                where = ".".join("*" if isinstance(p, int) else p for p in error.absolute_path)
                yield Violation(
                    *(operation.method, operation.template, status, where, str(error.validator)),
                    *(detail, "/".join(str(part) for part in error.absolute_schema_path)),
                )


def _details(error: ValidationError) -> Iterable[str]:
    """What is wrong: each undeclared property by name, each missing one, or the value."""
    if error.validator == "additionalProperties":
        schema, instance = error.schema, error.instance
        assert isinstance(schema, dict)
        assert isinstance(instance, dict)
        return sorted(set(instance) - set(schema["properties"]))
    if error.validator == "required":
        return [error.message.split("'")[1]]
    return [repr(error.instance)]


def _query(operation: Operation, exchange: Exchange) -> Iterator[Violation]:
    declared, document = operation.parameters("query"), operation.document
    given: dict[str, Any] = {}
    for raw, value in parse_qsl(exchange.query, keep_blank_values=True):
        name, _, key = raw.partition("[")
        if name not in declared:
            yield operation.violation(f"query {raw}", "undeclared parameter", value, None)
        elif key:
            given.setdefault(name, {})[key.rstrip("]")] = value
        elif declared[name]["schema"].get("type") == "array":
            given.setdefault(name, []).append(value)
        else:
            given[name] = _typed(value, declared[name]["schema"].get("type"))
    for name, parameter in declared.items():
        if parameter.get("required") and name not in given:
            yield operation.violation(f"query {name}", "required", "", None)
    for name, value in given.items():
        validator = OAS30WriteValidator(
            declared[name]["schema"],
            registry=document.registry,
            format_checker=oas30_format_checker,
        )
        for error in validator.iter_errors(value):
            rule = str(error.validator)
            yield operation.violation(f"query {name}", rule, repr(error.instance), None)


def _typed(value: str, kind: str | None) -> Any:
    """The value that a parameter's text stands for; the text itself if it is no such thing."""
    try:
        match kind:
            case "integer":
                return int(value)
            case "number":
                return float(value)
    except ValueError:
        return value
    return {"true": True, "false": False}.get(value, value) if kind == "boolean" else value


def _undeclared(exchange: Exchange, what: str, status: int | None) -> Violation:
    segments = exchange.path.strip("/").split("/")
    named = [part if place % 2 == 0 else "{id}" for place, part in enumerate(segments)]
    return Violation(
        exchange.method, "/" + "/".join(named), status, "", f"undeclared {what}", exchange.path
    )


def _closed(node: Any) -> Any:
    """Every object schema with properties allows no others, unless it says what others."""
    if isinstance(node, list):
        return [_closed(each) for each in node]
    if not isinstance(node, dict):
        return node
    closed = {name: _closed(value) for name, value in node.items()}
    if node.get("type") == "object" and isinstance(node.get("properties"), dict):
        closed.setdefault("additionalProperties", False)
    return closed


def _escaped(part: str) -> str:
    return part.replace("~", "~0").replace("/", "~1").replace("{", "%7B").replace("}", "%7D")
