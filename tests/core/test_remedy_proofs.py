"""What holds for every row of the table of remedies, by enumeration. Run with -s for the counts."""

from datetime import timedelta
from itertools import product

import pytest

from handlers.matrix import Ending
from handlers.messages import TEXTS
from handlers.policy import Policy
from handlers.remedies import answers, declines
from handlers.remedies.courses import COURSES, REFUSALS, Who
from handlers.remedies.later import LATER
from handlers.remedies.orders import MATRIX, Meaning
from handlers.remedies.sessions import SESSIONS
from handlers.remedies.words import CHARGES, MERCHANT, Action, Decline, Remedy, Row
from handlers.tables import TABLE, Table
from handlers.waiting import WAITS, End
from schemas.purchase import REASONS, State

# Appendices A and B of PLATFORM, the codes of §5.8 apart.
GLOSSARY = """
order_submit_failed order_create_failed missing_parameter create-order-failed invalid_parameter
invalid_shipping_choice internal_error failed-request not_found session_update_not_allowed
source_status_invalid_for_session source_not_supported creditAmount_already_updated
session_source_amount_too_large nonreusable_source source_not_chargeable source_in_use
additional_information_required tax_identifier_in_use customer_not_updateable currency_unactivated
country_unsupported unknown_parameter invalid_discount_percent invalid_discount_amount
plan_limit_reached plan_not_active restricted_update invalid_state payment_authorization_failed
order_fulfilled order_not_submitted currency_unsupported incomplete_card_number
source_creation_failed source_not_found already_exists order_complete order_cancelled item_fulfilled
item_cancelled quantity_too_large order-fraud-failure additional_payment_action_required
charge_expired charge_not_capturable source_expired amount_too_large country_restricted
email_invalid invalid_boolean invalid_empty invalid_format invalid_integer invalid_metadata_key
invalid_metadata_value invalid_quantity_amount invalid_string_blank invalid_string_empty
postal_code_invalid tax_id_invalid too_many_metadata_pairs order_already_complete out_of_inventory
sku_inactive api_key_expired method_not_allowed unknown_error validation_error no_network
invalid_request request_timeout too_many_requests issuer_anything
""".split()
CODES = sorted({*GLOSSARY, *declines.CODES, "unheard-of", ""})
PARAMETERS = [
    None,
    *answers.FIELDS,
    *answers.CREATE_ONLY_FIELDS,
    *("sourceId", "orderId", "customerId", "id", "value", "currency", "country", "metadata"),
    *(
        "shipTo.address.state",
        "billTo.address.country",
        "items[0].price",
        "endTime",
        "nobody.knows",
    ),
    *("countryOfOrigin", "weight", "skuGroupId", "state", "owner.firstName", "paymentSessionId"),
]
STATUSES = [400, 401, 402, 403, 404, 405, 406, 408, 409, 410, 415, 422, 429, 451, 499,
            500, 502, 503, 504, 599, None]  # fmt: skip
CHARGE_TYPES = (*CHARGES, None, "a_future_type")
ORDER_STATES = sorted({s for row in MATRIX for s in row.states or ()} | {"levitating", ""})
SESSION_STATES = sorted(
    {s for row in MATRIX for s in row.sessions or ()}
    | {s for row in SESSIONS for s in row.states or ()}
    | {"a_future_state", ""}
)
# What a decline must not lead to where no checkout is dead: another submission by itself.
SUBMITTED_AGAIN = {Action.NEW_CHECKOUT, Action.REPAIR, Action.REPLACE, Action.STEP_UP, Action.WAIT}
POLICY = Policy()
ALL = [
    *(row.then for row in TABLE.rows),
    *(row.then for row in MATRIX),
    *(row.then for row in SESSIONS),
    *(row.then for row in LATER),
]


def covering(table: Table, status: int | None, code: str, parameter: str | None,
             charge: str | None) -> list[Row]:  # fmt: skip
    """Every row that fits, found without the table's own index."""
    exact, family = str(status), "none" if status is None else f"{status // 100}xx"
    fits = [
        row
        for row in table.rows
        if row.when.status in (exact, family)
        and row.when.code in (None, code)
        and row.when.covers(parameter, charge)
    ]
    own = [row for row in fits if row.when.status == exact]
    return own or fits


def test_every_answer_has_exactly_one_remedy(capsys: pytest.CaptureFixture[str]) -> None:
    """One row names more than all others that fit, and it is the one that the handlers get."""
    covered = 0
    for code in CODES:
        mine = Table([row for row in TABLE.rows if row.when.code in (None, code)])
        for status, parameter, charge in product(STATUSES, PARAMETERS, CHARGE_TYPES):
            found = TABLE.row(status, code, parameter, charge)
            covered += 1
            if charge not in (None, MERCHANT):
                assert found.then == TABLE.row(status, code, parameter, None).then
                continue
            fits = covering(mine, status, code, parameter, charge)
            best = max(row.when.rank for row in fits)
            assert [row for row in fits if row.when.rank == best] == [found], (status, code)
    with capsys.disabled():
        print(f"\nanswers to POST /orders: {covered} combinations, one remedy each")


def test_every_order_and_every_session_has_exactly_one_remedy(
    capsys: pytest.CaptureFixture[str],
) -> None:
    covered = 0
    for state, session, page, failed, ending in product(
        *(ORDER_STATES, SESSION_STATES, (True, False), (True, False), Ending)
    ):
        covered += 1
        fits = [
            row
            for row in MATRIX
            if row.covers(state, session, page=page, charges_failed=failed, ending=ending)
        ]
        # Beside the row for whatever is unknown there is one, or the failed charge decides.
        meanings = {row.meaning for row in fits[:-1]}
        assert fits[-1].meaning is Meaning.UNKNOWN
        assert len(meanings) <= 1 or fits[0].charges_failed, (state, session)
    for session_state, sources in product((*SESSION_STATES, None), (True, False)):
        covered += 1
        assert (
            len([row for row in SESSIONS[:-1] if row.covers(session_state, sources=sources)]) <= 1
        )
        assert SESSIONS[-1].covers(session_state, sources=sources)
    with capsys.disabled():
        print(f"\norders and sessions as read: {covered} combinations, one remedy each")


def test_nothing_is_charged_again_after_a_hard_decline_fraud_or_the_end_of_a_subscription() -> None:
    """Whatever the status, the parameter and the charge type; a shopper's own choice apart."""
    for line, status, parameter, charge in product(
        declines.LINES, (400, 402, 404, 409, 410, 422), PARAMETERS, CHARGE_TYPES
    ):
        if status == 404 and parameter == "orderId":
            continue  # nobody knows what happened: an order is looked for, whatever the code
        found = TABLE.row(status, line.code, parameter, charge).then
        kind = line.merchants if charge == MERCHANT else line.customers
        if kind is Decline.FRAUD and status != 404:
            assert found.action is Action.END, (status, line.code, parameter)
            assert found.again == 0
        if line.code == "stop_recurring" and charge == MERCHANT and status == 409:
            assert found.action is Action.STOP
        if status == 409 and found.action is Action.NEW_CHECKOUT:
            # The source is declined; the same one only on the shopper's word, and only where the
            # published act is A*, or after a generic failure.
            correctable = found.message in ("payment.check_details", "payment.confirm_with_bank")
            assert found.again == 0 or correctable or line.code == "failed-request"
            assert found.again <= 1
        if status not in (409, 404):
            assert found.action not in SUBMITTED_AGAIN, (status, line.code, parameter)


def test_only_a_person_or_the_shopper_leads_from_a_decline_to_another_charge() -> None:
    for line in declines.LINES:
        for remedy in (line.by_customer, line.by_merchant):
            assert COURSES[remedy.action].who in (Who.SHOPPER, Who.TEAM, Who.NOBODY)


def test_every_circle_of_remedies_has_a_finite_budget() -> None:
    """Without the remedies that have a budget no remedy leads back to itself."""
    free = {action: course.leads for action, course in COURSES.items() if course.budget is None}

    def reached(start: Action) -> set[Action]:
        seen: set[Action] = set()
        waiting = [start]
        while waiting:
            for following in free.get(waiting.pop(), ()):
                if following not in seen:
                    seen.add(following)
                    waiting.append(following)
        return seen

    assert all(action not in reached(action) for action in Action)
    budgets = [course.budget.most(POLICY) for course in COURSES.values() if course.budget]
    assert budgets
    for most in budgets:
        assert (most.total_seconds() if isinstance(most, timedelta) else most) > 0


def test_every_remedy_ends_or_is_in_somebodys_hands_with_a_deadline() -> None:
    for action, course in COURSES.items():
        for state, reason in course.stands:
            assert reason in REASONS[state]
            wait = WAITS[state, reason]
            if state in (State.LOST, State.ACCEPTED):
                continue
            if state is State.REVIEW:
                assert course.told, action
            elif state in (State.SUBMITTING, State.UNKNOWN):
                assert course.leads, action  # an answer, or silence that is looked into
            else:
                assert wait.life(POLICY), (action, reason)
                assert wait.end is not End.NEVER, (action, reason)


def test_every_action_has_its_course_and_every_row_may_follow_a_submission() -> None:
    assert set(COURSES) == set(Action)
    assert {row.then.action for row in TABLE.rows} <= set(REFUSALS)
    assert {row.then.action for row in MATRIX} <= set(COURSES[Action.SUBMIT].leads)


@pytest.mark.parametrize("remedy", ALL, ids=lambda remedy: remedy.rule)
def test_nothing_that_a_shopper_reads_and_no_rule_holds_a_code(remedy: Remedy) -> None:
    text = TEXTS[remedy.message].casefold()
    for code in (*CODES, "fraud", "blocked", "hard decline", "soft"):
        if len(code) > 5:
            assert code not in text
            assert code.replace("_", " ") not in text
    assert "fraud" not in remedy.rule
    assert not any(code in remedy.rule for code in CODES if "_" in code or "-" in code)


def test_the_ends_read_alike() -> None:
    """I8: fraud, blocked, stopped and exhausted."""
    ends = [r for r in ALL if r.action in (Action.END, Action.STOP)]
    assert {r.message for r in ends} == {"order.failed"}


def test_every_row_is_reached() -> None:
    for row in TABLE.rows:
        status = {"4xx": 422, "5xx": 500, "none": None}.get(row.when.status)
        asked = int(row.when.status) if row.when.status.isdigit() else status
        parameter = None if row.when.parameter == "-" else row.when.parameter
        found = TABLE.row(asked, row.when.code, parameter, row.when.charge)
        assert found is row
