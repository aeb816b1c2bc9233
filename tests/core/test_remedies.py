"""The table of remedies, row by row (PLATFORM §4.2, §4.3, §5.8, Appendix C)."""

import pytest

from handlers.tables import Action, path, remedy
from schemas.results import PlatformProblem, Rejected
from tests.core.world import FRAUD, HARD, ONCE_MORE, OPERATOR, World, rejected


@pytest.mark.parametrize("code", HARD)
def test_a_hard_decline_needs_another_source(code: str) -> None:
    row = remedy(rejected(409, code))
    assert (row.action, row.again, row.known) == (Action.NEW_CHECKOUT, 0, True)


@pytest.mark.parametrize("code", ONCE_MORE)
def test_a_correctable_decline_lets_the_shopper_try_the_source_once_more(code: str) -> None:
    row = remedy(rejected(409, code))
    assert (row.action, row.again, row.known) == (Action.NEW_CHECKOUT, 1, True)


@pytest.mark.parametrize("code", FRAUD)
def test_fraud_ends_the_purchase(code: str) -> None:
    row = remedy(rejected(409, code))
    assert (row.action, row.again, row.known) == (Action.END, 0, True)


@pytest.mark.parametrize("code", OPERATOR)
def test_a_merchants_fault_goes_to_a_person(code: str) -> None:
    row = remedy(rejected(409, code))
    assert row.action in (Action.PERSON, Action.OPERATOR)
    assert row.again == 0


@pytest.mark.parametrize(
    ("code", "parameter"),
    [
        ("failed-request", None),
        ("create-order-failed", None),
        ("additional_information_required", "invoiceAttributeId"),
        ("additional_information_required", "taxIdentifiers"),
        ("invalid_parameter", "taxIdentifiers"),
        ("source_in_use", "sourceId"),
        ("source_not_chargeable", "sourceId"),
        ("source_expired", None),
        ("source_status_invalid_for_session", None),
        ("out_of_inventory", None),
        ("sku_inactive", None),
    ],
)
def test_a_listed_409_leads_to_a_new_checkout(code: str, parameter: str | None) -> None:
    row = remedy(rejected(409, code, parameter))
    assert (row.action, row.known) == (Action.NEW_CHECKOUT, True)


@pytest.mark.parametrize("code", ["unheard-of", "", None, "order_submit_failed "])
def test_an_unknown_409_takes_the_safe_row_and_is_seen(code: str | None) -> None:
    row = remedy(rejected(409, code))
    assert (row.action, row.again, row.known) == (Action.NEW_CHECKOUT, 0, False)


@pytest.mark.parametrize(
    ("status", "code", "parameter", "action"),
    [
        (400, "order_submit_failed", None, Action.REPAIR),
        (400, "order_create_failed", "email", Action.REPAIR),
        (400, "missing_parameter", "billTo.address.country", Action.REPAIR),
        (400, "missing_parameter", "shipFrom.address", Action.REPAIR),
        (400, "missing_parameter", "shipping.name", Action.REPAIR),
        (400, "invalid_shipping_choice", "shippingChoice", Action.REPAIR),
        (400, "invalid_parameter", "address.postalCode", Action.REPAIR),
        (400, "invalid_parameter", "address.state", Action.REPAIR),
        (400, "plan_not_active", "planId", Action.REPLACE),
        (400, "invalid_parameter", "items", Action.REPLACE),
        (400, "unknown_parameter", "price", Action.REPLACE),
        (400, "invalid_discount_amount", "discount", Action.REPLACE),
        (401, None, None, Action.OPERATOR),
        (403, None, None, Action.OPERATOR),
        (405, "method_not_allowed", None, Action.OPERATOR),
        (406, "not_acceptable", None, Action.OPERATOR),
        (415, None, None, Action.OPERATOR),
    ],
)
def test_another_4xx_keeps_the_checkout_unless_only_a_new_one_can_be_mended(
    status: int, code: str | None, parameter: str | None, action: Action
) -> None:
    assert remedy(rejected(status, code, parameter)).action is action


@pytest.mark.parametrize("status", [400, 402, 410, 418, 422, 451, 499])
def test_an_unlisted_4xx_keeps_the_checkout_and_is_seen(status: int) -> None:
    row = remedy(rejected(status, "unheard-of", "nobody.knows"))
    assert row.action not in (Action.NEW_CHECKOUT, Action.REPLACE, Action.END)
    assert not row.known


@pytest.mark.parametrize("status", range(400, 500))
def test_every_status_with_or_without_a_problem_has_a_row(status: int) -> None:
    for rejection in (Rejected(status=status), rejected(status, "x" * 300, "y" * 300)):
        row = remedy(rejection)
        assert row.rule
        assert row.source


def test_the_most_final_of_several_problems_decides() -> None:
    codes = ("do_not_honor", "fraud", "insufficient_funds")
    problems = tuple(PlatformProblem(code=code) for code in codes)
    assert remedy(Rejected(status=409, problems=problems)).action is Action.END
    soft_first = (PlatformProblem(code="do_not_honor"), PlatformProblem(code="declined"))
    assert remedy(Rejected(status=409, problems=soft_first)).again == 0


@pytest.mark.parametrize(
    ("parameter", "field"),
    [
        ("email", "email"),
        ("shipping.name", "shipTo.name"),
        ("address.line1", "shipTo.address.line1"),
        ("shipTo.address.city", "shipTo.address.city"),
        ("billTo.address.country", "billTo.address.country"),
        ("shipFrom.address", "shipFrom.address.country"),
        ("shippingChoice", "shippingChoice"),
        ("invoiceAttributeId", "invoiceAttributeId"),
        ("taxIdentifiers", "taxIdentifiers"),
    ],
)
def test_a_parameter_maps_to_the_field_to_repair(parameter: str, field: str) -> None:
    assert path(PlatformProblem(code="missing_parameter", parameter=parameter)) == field


def paid(behaviour: str, *, saved: bool) -> tuple[World, str]:
    world = World()
    world.open()
    world.begin()
    world.run()
    card = world.pay(behaviour, saved=saved)
    world.choose(card)
    world.run()
    return world, card


@pytest.mark.parametrize("code", [*HARD, "unheard-of"])
def test_a_hard_declined_saved_source_is_never_submitted_again(code: str) -> None:
    world, card = paid(code, saved=True)
    for _ in range(3):
        world.choose(card)
        world.live(60)
    assert len(world.sent) == 1
    assert (world.purchase.state, world.purchase.reason) == ("held", "payment_required")


@pytest.mark.parametrize("code", [*ONCE_MORE, "failed-request"])
def test_a_correctable_saved_source_is_submitted_once_more_and_only_on_the_shoppers_choice(
    code: str,
) -> None:
    world, card = paid(code, saved=True)
    world.live(600)
    assert len(world.sent) == 1
    world.choose(card)
    world.live(60)
    assert len(world.sent) == 2
    world.choose(card)
    world.live(60)
    assert len(world.sent) == 2


def test_a_generic_failure_of_a_single_use_source_is_final_for_it() -> None:
    world, card = paid("failed-request", saved=False)
    world.choose(card)
    world.live(60)
    assert len(world.sent) == 1


@pytest.mark.parametrize("code", FRAUD)
def test_fraud_is_told_to_operators_and_hidden_from_shoppers(code: str) -> None:
    from handlers.presentation import view

    world, card = paid(code, saved=True)
    assert not world.choose(card)
    assert (world.purchase.state, world.purchase.reason) == ("lost", "fraud")
    shown = view(world.purchase, shop=True)
    assert (shown.state, shown.reason) == ("lost", "exhausted")
    assert len(world.sent) == 1
    assert len(world.purchase.chain) == 1


@pytest.mark.parametrize("status", [409, 400, 422])
def test_an_unknown_code_raises_an_alert(status: int) -> None:
    world = World()
    world.open()
    world.begin()
    world.run()
    world.choose(world.pay("good"))
    world.run(rejected(status, "unheard-of"), on="submit")
    assert world.alerts


@pytest.mark.parametrize(
    ("code", "parameter", "field"),
    [
        ("missing_parameter", "shipping.name", "shipTo.name"),
        ("order_create_failed", "email", "email"),
        ("missing_parameter", "billTo.address.country", "billTo.address.country"),
        ("invalid_shipping_choice", "shippingChoice", "shippingChoice"),
    ],
)
def test_a_field_that_nobody_knows_is_asked_for_once_and_the_same_checkout_submitted(
    code: str, parameter: str, field: str
) -> None:
    world = World()
    id = world.open()
    world.begin(create=False)
    world.run()
    world.choose(world.pay("good"))
    world.run(rejected(400, code, parameter), on="submit")
    assert (world.purchase.state, world.purchase.reason) == ("held", "correction_required")
    action = world.purchase.next_action or {}
    assert action["action"] == "correct_checkout"
    assert [f["path"] for f in action["fields"]] == [field]
    assert world.purchase.checkout_ids == (id,)
