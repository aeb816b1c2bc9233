"""The documents name everything that there is, and nothing else."""

import re
from collections.abc import Iterable
from pathlib import Path

import pytest
from pydantic_core import PydanticUndefined

from consumer.cli import app
from consumer.observe.metrics import Metrics
from consumer.settings import Settings
from consumer.settings.values import written
from consumer.web.openapi_paths import paths
from handlers.aftermath import ENDS, TROUBLES
from handlers.routing import Ignored, route
from schemas.purchase import REASONS

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
OPERATIONS = (ROOT / "docs" / "operations.md").read_text()
CODE = re.compile(r"`([^`]+)`")
METRIC = re.compile(r"order_rescue_\w+")


def rows(text: str, title: str) -> list[list[str]]:
    """The cells of the tables under a heading, without the heads."""
    _, _, section = text.partition(f"# {title}\n")
    lines = re.split(r"\n#+ ", section, maxsplit=1)[0].splitlines()
    cells = [[c.strip() for c in line.strip().split(" | ")] for line in lines if "|" in line]
    body = [[re.sub(r"^\| ?| ?\|$", "", cell) for cell in row] for row in cells]
    return [row for row in body if CODE.search(row[0])]


def codes(cells: Iterable[str]) -> list[str]:
    return [code for cell in cells for code in CODE.findall(cell)]


def test_the_readme_lists_every_setting_with_its_default() -> None:
    listed = rows(README, "Settings")
    fields = Settings.model_fields
    assert sorted(codes(row[0] for row in listed)) == sorted(name.upper() for name in fields)
    for names, default, _ in listed:
        for number, name in enumerate(CODE.findall(names)):
            value = fields[name.lower()].default
            shown = CODE.findall(default)
            if default.startswith("required"):
                assert value in (PydanticUndefined, ()), name
            elif shown:
                assert written(value)[0] == shown[number], name
            elif default == "–":  # noqa: RUF001 - as the README prints it
                assert written(value)[0] == "-", name


def test_the_readme_lists_every_call() -> None:
    told = set()
    for call in codes(row[0] for row in rows(README, "Calls")):
        method, _, path = call.rpartition(" ")
        told.add((method.lower() or "get", path))
    real = {(method, path) for path, item in paths().items() for method in item}
    assert told == {(method, path) for method, path in real if method != "parameters"}


def test_the_readme_lists_every_state_and_reason() -> None:
    listed = [row for row in rows(README, "States") if CODE.findall(row[0])[0] in REASONS]
    told = {state: set(CODE.findall(row[1])) for row in listed for state in CODE.findall(row[0])}
    real = {state.value: {r.value for r in reasons if r} for state, reasons in REASONS.items()}
    assert told == real


def test_the_readme_lists_every_command() -> None:
    told = set(re.findall(r"^order-rescue ([a-z-]+)", README, re.MULTILINE))
    commands = app.registered_commands
    assert told == {c.name or getattr(c.callback, "__name__", "") for c in commands}


def test_the_webhook_of_the_readme_brings_only_what_is_used() -> None:
    events = codes(row[0] for row in rows(README, "Against the real platform"))
    thing = {"id": "x1", "checkoutId": "c1", "paymentSessionId": "s1"}
    assert [type for type in events if isinstance(route(type, thing), Ignored)] == []
    synonyms = {"order.charge.capture.completed"}
    assert {*TROUBLES, *ENDS} - set(events) == synonyms


def test_the_operations_page_lists_every_metric() -> None:
    text, _ = Metrics().render()
    real = set(re.findall(r"^# HELP (order_rescue_\w+)", text.decode(), re.MULTILINE))
    real = {name for name in real if not name.endswith("_created")}
    assert set(METRIC.findall(OPERATIONS)) == real


ALERT = re.compile(r"""(?:\balert\(|alert=|alert = )(?:[^"\n,)]*? )?["'](\w+)["']""")
# Computed: `Decision.alert` of an order's trouble is its reason.
TROUBLE = {reason.value for reason in TROUBLES.values()}


def raised() -> set[str]:
    sources = [*(ROOT / "handlers").rglob("*.py"), *(ROOT / "consumer").rglob("*.py")]
    found = {kind for source in sources for kind in ALERT.findall(source.read_text())}
    return found | {"unlisted_rejection"} | TROUBLE


def test_the_operations_page_lists_every_alert() -> None:
    assert set(codes(row[0] for row in rows(OPERATIONS, "Alerts"))) == raised()


PAGES = ("README.md", "docs/operations.md", "docs/reliability.md", "docs/scaling.md")


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    text = (ROOT / page).read_text()
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        file, _, anchor = target.partition("#")
        if "://" in target:
            continue
        path = (ROOT / page).parent / file if file else ROOT / page
        assert path.exists(), target
        if anchor:
            heads = re.findall(r"^#+ (.*)$", path.read_text(), re.MULTILINE)
            slugs = {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads}
            assert anchor in slugs, target


def test_no_two_decisions_share_a_number() -> None:
    pages = sorted((ROOT / "docs" / "adr").glob("*.md"))
    numbers = [int(page.name[:4]) for page in pages]
    assert numbers == list(range(1, len(pages) + 1))
    titles = [page.read_text().partition(".")[0] for page in pages]
    assert titles == [f"# {number}" for number in numbers]
