"""The import rule: schemas <- handlers <- consumer, layers inside consumer, and purity of handlers.

The rule is read off the syntax trees, so a module need not be importable to be judged.
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OURS = {"schemas", "handlers", "consumer", "deploy", "tests"}

# A module may import its own row and the rows with a lower number. Name new modules here.
CONSUMER_LAYERS = {
    "consumer": 0,
    "consumer.errors": 1,
    "consumer.clock": 1,
    "consumer.signals": 1,
    "consumer.signature": 1,
    "consumer.settings": 2,
    "consumer.events": 2,
    "consumer.observe": 3,
    "consumer.store": 4,
    "consumer.platform": 4,
    "consumer.roles": 5,
    "consumer.sharing": 5,
    "consumer.router": 5,
    "consumer.worker": 5,
    "consumer.relay": 5,
    "consumer.backfill": 5,
    "consumer.kafka": 5,
    "consumer.forgetter": 5,
    "consumer.watch": 5,
    "consumer.waking": 5,
    "consumer.presence": 5,
    "consumer.purger": 5,
    "consumer.sources": 6,
    "consumer.catch_up": 6,
    "consumer.web": 6,
    "consumer.parts": 7,
    "consumer.app": 8,
    "consumer.cli": 9,
    "consumer.__main__": 10,
}

# What handlers may take from the standard library: nothing that does I/O, waits, logs, reads a
# clock or draws lots. Add a module here if that is true of all that handlers take from it.
PURE_STDLIB = {
    "__future__",
    "abc",
    "base64",
    "bisect",
    "collections",
    "copy",
    "dataclasses",
    "datetime",
    "decimal",
    "difflib",
    "enum",
    "fractions",
    "functools",
    "hashlib",
    "ipaddress",
    "itertools",
    "json",
    "math",
    "operator",
    "re",
    "string",
    "textwrap",
    "types",
    "typing",
    "unicodedata",
    "urllib.parse",
}
CLOCK_READS = {"now", "utcnow", "today"}
IMPURE_BUILTINS = {"open", "print", "input", "breakpoint", "exec", "eval", "compile", "__import__"}
ASYNCHRONOUS = (ast.AsyncFunctionDef, ast.AsyncFor, ast.AsyncWith, ast.Await)


def violations(module: str, source: str, *, is_package: bool = False) -> list[str]:
    """What `source`, taken as the module of that dotted name, does against the rule."""
    tree = ast.parse(source)
    package = module.split(".")[0]
    found = []
    for line, target in imports(tree, module, is_package):
        if reason := forbidden_import(module, target):
            found.append(f"{module}:{line} imports {target}: {reason}")
    if package == "handlers":
        found += [f"{module}:{line} {what}: handlers are pure" for line, what in impurities(tree)]
    if package == "consumer" and layer_of(module) is None:
        found.append(f"{module} has no row in CONSUMER_LAYERS: give it one")
    return found


def imports(tree: ast.AST, module: str, is_package: bool) -> Iterator[tuple[int, str]]:
    """(line, dotted name) of all that is imported; `from a import b` counts as `a.b`."""
    parents = module.split(".") if is_package else module.split(".")[:-1]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, name.name) for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = parents[: len(parents) - node.level + 1] if node.level else []
            start = ".".join([*above, *([node.module] if node.module else [])])
            yield from ((node.lineno, f"{start}.{name.name}") for name in node.names)


def forbidden_import(module: str, target: str) -> str | None:
    """Why `module` must not import `target`; None if it may."""
    package, top = module.split(".")[0], target.split(".")[0]
    if module.startswith("deploy.sandbox"):
        return "the sandbox uses none of ours" if top in OURS - {"deploy"} else None
    if package not in {"schemas", "handlers", "consumer"}:
        return None
    if top in {"deploy", "tests"}:
        return "the service does not know how it is deployed or tested"
    if package == "schemas" and top not in {"schemas", "pydantic", *sys.stdlib_module_names}:
        return "schemas use the standard library and pydantic only"
    if package == "handlers" and top not in {"handlers", "schemas", "pydantic"}:
        pure = any(target == name or target.startswith(f"{name}.") for name in PURE_STDLIB)
        return None if pure else "handlers use schemas, pydantic and PURE_STDLIB only"
    if package == "consumer" and top == "consumer":
        return higher_layer(module, target)
    return None


def higher_layer(module: str, target: str) -> str | None:
    here, there = layer_of(module), layer_of(target)
    if here is None or there is None or here[0] == there[0]:
        return None  # a module without a row is reported by itself
    if there[1] < here[1]:
        return None
    return f"{here[0]} (layer {here[1]}) may not use {there[0]} (layer {there[1]})"


def layer_of(name: str) -> tuple[str, int] | None:
    """The row that a module, or a name inside a module, belongs to."""
    if name == "consumer":
        return name, CONSUMER_LAYERS[name]
    row = ".".join(name.split(".")[:2])
    return (row, CONSUMER_LAYERS[row]) if row in CONSUMER_LAYERS else None


def impurities(tree: ast.AST) -> Iterator[tuple[int, str]]:
    clocks = {"datetime", "date"} | {
        name.asname
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in node.names
        if name.asname and name.name in {"datetime", "date"}
    }
    called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    for node in ast.walk(tree):
        if isinstance(node, ASYNCHRONOUS):
            yield node.lineno, "waits"
        elif isinstance(node, ast.comprehension) and node.is_async:
            yield node.target.lineno, "waits"
        elif isinstance(node, ast.Name) and node.id in IMPURE_BUILTINS and id(node) in called:
            yield node.lineno, f"calls {node.id}"
        elif isinstance(node, ast.Attribute) and node.attr in CLOCK_READS:
            # A field named `now` may be read; a method of that name is a clock.
            if id(node) in called or last_name(node.value) in clocks:
                yield node.lineno, f"reads the clock with .{node.attr}"


def last_name(node: ast.expr) -> str | None:
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
        case _:
            return None


def modules() -> Iterator[tuple[str, Path]]:
    for folder in ("schemas", "handlers", "consumer", "deploy"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


def test_every_module_keeps_the_import_rule() -> None:
    found = [
        violation
        for module, path in modules()
        for violation in violations(
            module, path.read_text("utf-8"), is_package=path.name == "__init__.py"
        )
    ]
    assert not found, "\n" + "\n".join(found)


def test_the_three_packages_are_among_the_modules_judged() -> None:
    assert {"schemas", "handlers", "consumer"} <= {module for module, _ in modules()}


@pytest.mark.parametrize(
    ("module", "source", "told"),
    [
        ("schemas.facts", "import httpx", "schemas use the standard library and pydantic only"),
        ("schemas.facts", "from handlers.gate import passes", "schemas use"),
        ("schemas.facts", "def late():\n    from consumer import clock", "schemas use"),
        ("handlers.gate", "import asyncio", "PURE_STDLIB"),
        ("handlers.gate", "import time", "PURE_STDLIB"),
        ("handlers.gate", "from random import choice", "PURE_STDLIB"),
        ("handlers.gate", "import urllib.request", "PURE_STDLIB"),
        ("handlers.gate", "from urllib import request", "PURE_STDLIB"),
        ("handlers.gate", "from consumer.clock import Clock", "PURE_STDLIB"),
        ("handlers.gate", "from datetime import datetime\ndatetime.now()", "reads the clock"),
        ("handlers.gate", "import datetime\ndatetime.datetime.now()", "reads the clock"),
        ("handlers.gate", "from datetime import datetime as D\nf = D.utcnow", "reads the clock"),
        ("handlers.gate", "from datetime import date\nf = date.today", "reads the clock"),
        ("handlers.gate", "async def decide(): ...", "waits"),
        ("handlers.gate", "open('log')", "calls open"),
        ("consumer.store.inbox", "from consumer.worker import Worker", "may not use"),
        ("consumer.store.inbox", "from ..worker import Worker", "may not use"),
        ("consumer.store", "from . import inbox\nfrom .. import app", "may not use consumer.app"),
        ("consumer.store.inbox", "from consumer.platform.client import Platform", "may not use"),
        ("consumer.web.api", "from consumer import cli", "may not use consumer.cli"),
        ("consumer.web.api", "import consumer.app", "may not use consumer.app"),
        ("consumer.shortcut", "", "has no row in CONSUMER_LAYERS"),
        ("consumer.app", "from deploy.sandbox import app", "does not know how it is deployed"),
        ("handlers.gate", "import tests.core", "does not know how it is deployed"),
        ("deploy.sandbox.orders", "from schemas.platform import Order", "none of ours"),
    ],
)
def test_the_checker_catches(module: str, source: str, told: str) -> None:
    found = violations(module, source, is_package=module == "consumer.store")
    assert len(found) == 1, found
    assert told in found[0]


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("schemas.facts", "import enum\nfrom pydantic import BaseModel\nfrom .base import Wire"),
        ("handlers.gate", "from collections.abc import Mapping\nfrom schemas.facts import Fact"),
        ("handlers.gate", "from datetime import datetime\nlate = fact.now > datetime.max"),
        ("handlers.gate", "from urllib.parse import urlsplit\nfrom handlers import tables"),
        ("consumer.store.inbox", "from consumer.store.tables import inbox\nimport sqlalchemy"),
        ("consumer.worker", "import asyncio\nfrom consumer import clock\nimport handlers.decide"),
        ("consumer.cli", "from consumer.app import serve"),
        ("deploy.sandbox.orders", "from deploy.sandbox.ledger import Ledger\nimport starlette"),
    ],
)
def test_the_checker_lets_pass(module: str, source: str) -> None:
    assert violations(module, source) == []
