"""The model of docs/scaling.md: what limits is what takes the least."""

import pytest

from tests.bench.scaling import BUDGET, Costs, Deployment, costs_of, rush

COSTS = Costs(ack=0.25, ack_database=0.1, decision=1.0, decision_database=0.5, calls=5.0)
ONE = Deployment("one", replicas=1)


def test_one_accounts_budget_limits_its_orders_however_many_processes_there_are() -> None:
    for replicas in (1, 3, 100):
        found = Deployment("", replicas).capacity(COSTS)["platform"]
        assert found == BUDGET / 5


def test_a_rush_below_every_stage_waits_nowhere() -> None:
    seen = rush(ONE, COSTS, peak=30.0)
    assert (seen.limit, seen.wait, seen.over) == ("nothing", 0.0, 0.0)


def test_a_rush_beyond_the_budget_is_worked_off_after_it() -> None:
    seen = rush(ONE, COSTS, peak=60.0)
    assert seen.limit == "platform"
    # 600 s of 20 orders a second too many, taken at 40 a second.
    assert seen.wait == pytest.approx(300, rel=0.01)
    # At the base of 6 a second 34 are left for what waits.
    assert seen.over == pytest.approx(12_000 / 34, rel=0.02)


def test_on_sqlite_the_process_pays_for_the_database() -> None:
    notes = {
        "sqlite: service ms/event": 0.3,
        "postgres: service ms/event": 0.25,
        "postgres: database ms/event": 0.1,
        "postgres: service ms/decision": 1.0,
        "postgres: database ms/decision": 0.5,
        "platform calls/order": 5.0,
    }
    report = {"rows": [{"name": "all", "notes": notes}]}
    assert costs_of(report, "postgres") == COSTS
    assert costs_of(report, "sqlite") == Costs(0.3, 0.0, 1.5, 0.0, 5.0)
