"""What the report says of figures: the arithmetic, and when a row is met, missed or broken."""

import json
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import pytest
from rich.console import Console

from consumer.events import light
from consumer.signature import verify
from tests.bench.__main__ import measured, options_of
from tests.bench.load import SECRET, SIZE, body, signed
from tests.bench.registry import ROWS, Measured
from tests.bench.report import Bound, Case, Row, exit_code, show, write_json
from tests.bench.stage import Bench, Options
from tests.bench.wrk import Broken


def case(bound: Bound, target: float, subject: list[float], yardstick: list[float]) -> Case:
    return Case("any", "/s", bound, target, subject, yardstick)


def test_a_ratio_is_the_median_of_the_rounds_own_ratios() -> None:
    # Of the medians it would be 20 / 50; the middle round was 30 / 50.
    found = case("at least", 0.5, [10.0, 20.0, 30.0], [100.0, 20.0, 50.0])
    assert found.figure == 0.6
    assert found.met


def test_without_a_yardstick_the_value_itself_is_held_against_the_target() -> None:
    found = case("at least", 1500.0, [1000.0, 1400.0, 9000.0], [])
    assert found.figure == 1400.0
    assert not found.met
    assert found.reach == pytest.approx(1400 / 1500)


@pytest.mark.parametrize(
    ("bound", "figure", "met", "reach"),
    [
        ("at least", 2.0, True, 1.0),
        ("at least", 1.9, False, 0.95),
        ("at most", 2.0, True, 1.0),
        ("at most", 4.0, False, 0.5),
        ("at most", 1.0, True, 2.0),
    ],
)
def test_a_target_is_met_from_itself_on(
    bound: Bound, figure: float, met: bool, reach: float
) -> None:
    found = case(bound, 2.0, [figure], [1.0])
    assert (found.met, found.reach) == (met, reach)


def test_nothing_lost_is_a_target_that_can_be_met_and_missed() -> None:
    assert case("at most", 0.0, [0.0], []).reach == 1.0
    assert case("at most", 0.0, [3.0], []).reach == 0.0


def test_a_missed_target_is_a_result_and_a_broken_row_is_none() -> None:
    met = Row("met", "", (case("at least", 1.0, [2.0], []),))
    missed = Row("missed", "", (*met.cases, case("at least", 3.0, [2.0], [])))
    broken = Row("broken", "", (), "wrk is not there")
    assert [row.verdict for row in (met, missed, broken)] == ["met", "missed", "broken"]
    assert exit_code([met, missed]) == 0
    assert exit_code([met, missed, broken]) == 1


async def test_a_row_that_fails_breaks_alone_and_says_why(tmp_path: Path) -> None:
    async def fails(_bench: Bench) -> list[Case]:
        raise Broken("there is no wrk on this machine")

    with ExitStack() as stack:
        bench = Bench(tmp_path, Options(), stack)
        row = await measured("any", Measured(fails, "what"), bench)
    assert (row.verdict, row.broken) == ("broken", "there is no wrk on this machine")


def test_the_table_and_the_document_tell_the_same(tmp_path: Path) -> None:
    row = Row("ack", "acks", (case("at least", 0.3, [3000.0], [12000.0]),))
    console = Console(width=120, record=True)
    show([row], console)
    told = console.export_text()
    assert "3,000 /s" in told
    assert "0.25 x" in told
    assert "missed" in told
    document = json.loads(write_json([row], {"cores": 2}, tmp_path).read_text())
    assert document["rows"][0]["verdict"] == "missed"
    assert document["rows"][0]["cases"][0]["figure"] == 0.25


def test_quick_is_one_short_round_and_only_names_rows() -> None:
    options, names, _folder = options_of(["--quick", "--only", "tail,kafka"])
    assert (options.rounds, names) == (1, ["tail", "kafka"])
    assert options_of([])[1] == list(ROWS)
    with pytest.raises(SystemExit):
        options_of(["--only", "speed"])


def test_events_are_signed_unique_and_as_large_as_the_report_says(tmp_path: Path) -> None:
    load = signed(tmp_path, 20)
    lines = load.events.read_text().splitlines()
    sent = {}
    for line in lines:
        id, _, header = line.partition(" ")
        sent[id] = body(load.template.read_text(), id).encode()
        verify(header, sent[id], [SECRET], datetime.now(UTC), 600.0)
    assert len(sent) == 20
    assert {light(raw).id for raw in sent.values()} == set(sent)
    assert all(abs(len(raw) - SIZE) < 50 for raw in sent.values())
