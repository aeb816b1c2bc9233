"""Every row of the table, played: the purchase stands where the table says that it will."""

import pytest

from handlers.messages import text
from handlers.presentation import view
from handlers.remedies.courses import COURSES
from handlers.remedies.words import CUSTOMER, MERCHANT, Action, Row
from handlers.tables import TABLE
from schemas.purchase import State
from tests.core.world import REQUEST, World, rejected

DEFINITE = [
    row for row in TABLE.rows
    if row.then.action not in (Action.LOOK, Action.WAIT) and row.when.status != "404"
]  # fmt: skip


def played(row: Row) -> World:
    """A purchase whose first submission, is answered like this row."""
    request = REQUEST | {"chargeType": row.when.charge or CUSTOMER}
    world = World()
    world.open(request=request)
    # Without the storefront's own request, and with a card that is not saved, nothing can be
    # mended but by the shopper.
    mended = row.then.action is Action.REPAIR
    world.begin(createRequest=None if mended else request)
    world.run()
    world.choose(world.pay("good", saved=not mended))
    status = {"4xx": 422}.get(row.when.status) or int(row.when.status)
    parameter = None if row.when.parameter == "-" else row.when.parameter
    world.run(rejected(status, row.when.code or "unheard-of", parameter), on="submit")
    return world


@pytest.mark.parametrize(
    "row", DEFINITE, ids=lambda row: " ".join(filter(None, (row.when.status, row.when.code,
                                                            row.when.parameter, row.when.charge)))
)  # fmt: skip
def test_a_refusal_leads_to_where_its_row_says(row: Row) -> None:
    world = played(row)
    purchase, course = world.purchase, COURSES[row.then.action]
    assert (purchase.state, purchase.reason) in course.stands
    if purchase.state is State.HELD and row.then.action is Action.NEW_CHECKOUT:
        asked = view(purchase, shop=True).shopper.message or None
        read = asked.text if asked else ""
        assert read in (text(row.then.message), text("checkout.correct"))
    assert len(world.sent) == 1


def test_a_merchants_own_charge_that_must_never_recur_ends_the_purchase() -> None:
    row = TABLE.row(409, "stop_recurring", None, MERCHANT)
    world = played(row)
    assert (world.purchase.state, world.purchase.reason) == ("lost", "stopped")
    assert len(world.purchase.chain) == 1
