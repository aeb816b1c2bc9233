"""The streaming demo balances, and its own books find what is wrong."""

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.services.kafka import found
from tests.services.postgres import programs
from tests.streaming.books import taken, told

ROOT = Path(__file__).parents[2]
STORED = {"a1": ("p1", 1), "a2": ("p1", 2), "b1": ("p2", 1)}
READ = [("a1", "p1", 1), ("b1", "p2", 1), ("a2", "p1", 2)]


def test_outcomes_in_order_of_their_purchase_are_right_and_may_be_repeated() -> None:
    assert told(STORED, READ).right
    again = told(STORED, [*READ, ("a2", "p1", 2)])
    assert (again.right, again.repeated) == (True, 1)


def test_an_outcome_that_is_missing_or_too_late_is_found() -> None:
    assert told(STORED, READ[:2]).missing == 1
    late = told(STORED, [READ[2], READ[1], READ[0]])
    assert (late.missing, late.out_of_order, late.right) == (0, 1, False)


def test_an_outcome_that_nobody_decided_is_found() -> None:
    assert told(STORED, [*READ, ("c1", "p3", 1)]).out_of_order == 1


def test_an_acknowledged_event_that_is_missing_or_stored_twice_is_found() -> None:
    acknowledged = {"e1": "Kafka", "e2": "both"}
    assert taken(acknowledged, {"e1": 1, "e2": 1, "e3": 1}, 0).right
    assert taken(acknowledged, {"e1": 1}, 0).missing == 1
    assert taken(acknowledged, {"e1": 2, "e2": 1}, 0).twice == 1
    assert not taken(acknowledged, {"e1": 1, "e2": 1}, 1).right


def test_a_small_streaming_demo_balances() -> None:
    found(), programs()  # skips where there are none
    options = ("--shoppers", "12", "--kills", "1", "--deadline", "150")
    run = subprocess.run(
        [sys.executable, "-m", "tests.streaming.demo", *options],
        cwd=ROOT,
        env=dict(os.environ),
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "the service was killed 1 times" in run.stdout
    [line] = [line for line in run.stdout.splitlines() if line.startswith("outcomes on their")]
    number = re.fullmatch(r".*: (\d+) of \1, missing: 0, out of order: 0, repeated: \d+", line)
    assert number, line
    assert int(number[1]) > 12
