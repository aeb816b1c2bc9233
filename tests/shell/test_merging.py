"""Two purchases turn out to be one: keys move and both are told, in one transaction."""

from collections.abc import Mapping

from sqlalchemy import Connection

from consumer.store import entries, purchases, work
from consumer.store.engine import Store
from consumer.store.facts import decoded
from consumer.store.work import Step
from handlers.decide import decide
from handlers.decision import Decision, Moment
from handlers.policy import Policy
from schemas.facts import KeyTaken, KeyWanted
from schemas.purchase import Declined, OrderRecord, Purchase, Reason, State, Submission
from tests.shell import lone
from tests.shell.test_store import NOW, after, handed_over

ORDER = OrderRecord(id="o1", checkout_id="c1", state="pending_payment")
SUBMISSION = Submission(number=1, attempt=1, checkout_id="c1", source_id=None, at=NOW)
PENDING = {"state": State.PENDING, "reason": Reason.PROCESSING, "orders": (ORDER,)}
Told = dict[str, KeyTaken | KeyWanted]


def moved(connection: Connection, purchase: Purchase, **fields: object) -> Purchase:
    """What a worker does: decide the oldest fact, so that the purchase has these fields."""
    now = purchase.updated_at
    taken = lone.take(connection, purchase.id, "w", now, after(60))
    assert taken is not None
    changed = purchase.model_copy(update=fields)
    decision = Decision(changed, "rule", "source")
    step = Step(purchase, work.following(purchase, decision, now), taken.facts[0], now, decision)
    return lone.save(connection, step, taken.lease, ())


def linked(connection: Connection, one: Mapping[str, object], other: Mapping[str, object]) -> Told:
    """The owner of `web-1` and a newcomer that learns that it is `web-1` too; what each is told.

    The facts are decided as well.
    """
    owner = moved(connection, handed_over(connection, "c1", "web-1"), **one)
    newcomer = handed_over(connection, "c2", "web-2")
    newcomer = moved(connection, newcomer, upstream_id="web-1", **other)
    told: Told = {}
    for name, purchase in (("owner", owner), ("newcomer", newcomer)):
        for entry in entries.undecided(connection, purchase.id):
            fact = decoded(entry)
            assert isinstance(fact, KeyTaken | KeyWanted)
            told[name] = fact
            decision = decide(purchase, fact, Moment(NOW, NOW), Policy())
            lease = lone.take(connection, purchase.id, "w", NOW, after(60))
            assert lease is not None
            step = Step(purchase, work.following(purchase, decision, NOW), entry, NOW, decision)
            lone.save(connection, step, lease.lease, ())
    return told


def owner_of(connection: Connection, kind: str, value: str) -> str:
    """The name of the checkout under which the owner of a key began."""
    id = purchases.owner_of(connection, (kind, value))
    found = purchases.load(connection, id or "")
    return found.chain[0].checkout_id if found else "nobody"


def states(connection: Connection) -> dict[str, tuple[State, Reason | None]]:
    listed = purchases.listed(connection, limit=10)
    return {p.chain[0].checkout_id: (p.state, p.reason) for p in listed}


async def test_a_newcomer_without_a_submission_yields_and_gives_its_keys(
    store: Store,
) -> None:
    def story(c: Connection) -> None:
        told = linked(c, PENDING, {})
        assert [told[name].merge for name in ("owner", "newcomer")] == ["stay", "yield"]
        assert states(c)["c2"] == (State.LOST, Reason.SUPERSEDED)
        assert states(c)["c1"] == (State.PENDING, Reason.PROCESSING)
        for key in (("upstream", "web-1"), ("upstream", "web-2"), ("checkout", "c2")):
            assert owner_of(c, *key) == "c1"

    await store.write(story)


async def test_an_owner_without_a_submission_yields_to_a_newcomer_with_one(
    store: Store,
) -> None:
    def story(c: Connection) -> None:
        submitted = {"submissions": (SUBMISSION.model_copy(update={"checkout_id": "c2"}),)}
        told = linked(c, {}, submitted)
        assert [told[name].merge for name in ("owner", "newcomer")] == ["yield", "stay"]
        assert states(c)["c1"] == (State.LOST, Reason.SUPERSEDED)
        assert owner_of(c, "upstream", "web-1") == "c2"
        assert owner_of(c, "checkout", "c1") == "c2"

    await store.write(story)


async def test_two_that_were_submitted_both_wait_for_a_person_and_keep_their_keys(
    store: Store,
) -> None:
    def story(c: Connection) -> None:
        submission = SUBMISSION.model_copy(update={"checkout_id": "c2"})
        linked(c, PENDING, {"submissions": (submission,)})
        assert set(states(c).values()) == {(State.REVIEW, Reason.MERGE)}
        assert owner_of(c, "upstream", "web-1") == "c1"
        assert owner_of(c, "checkout", "c2") == "c2"

    await store.write(story)


async def test_what_was_only_observed_yields_with_its_order(store: Store) -> None:
    def story(c: Connection) -> None:
        declined = (Declined(source_id="s1", again=0),)
        seen = {**PENDING, "observed": True, "submits": "merchant", "declined": declined}
        told = linked(c, seen, {})
        assert told["newcomer"].merge == "stay"
        assert told["newcomer"].declined == declined
        assert told["newcomer"].orders == ("o1",)
        assert owner_of(c, "order", "o1") == "c2"
        taken = lone.take(c, told["newcomer"].key and _id(c, "c2"), "w", NOW, after(60))
        assert taken is not None
        assert taken.task is not None
        assert taken.task.command.model_dump()["order_id"] == "o1"

    await store.write(story)


def _id(connection: Connection, checkout: str) -> str:
    found = (p.id for p in purchases.listed(connection, limit=10) if checkout in p.checkout_ids)
    return next(found)


async def test_the_upstream_id_of_a_lost_purchase_goes_to_its_successor_untold(
    store: Store,
) -> None:
    def story(c: Connection) -> None:
        lost = {"state": State.LOST, "reason": Reason.EXPIRED}
        assert linked(c, lost, {}) == {}
        assert owner_of(c, "upstream", "web-1") == "c2"
        assert owner_of(c, "checkout", "c1") == "c1"

    await store.write(story)
