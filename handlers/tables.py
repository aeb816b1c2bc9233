"""Reading the one table of remedies (`handlers.remedies`): which row a refusal is about."""

from collections import defaultdict
from collections.abc import Iterable

from handlers.remedies import answers
from handlers.remedies.declines import UNAUTHENTICATED
from handlers.remedies.words import Action, Remedy, Row, root
from schemas.purchase import Purchase
from schemas.results import PlatformProblem, Rejected

__all__ = ["TABLE", "Action", "Remedy", "Table", "charge_type", "path", "remedy", "remedy_for"]

# Of several problems the one counts whose remedy stands first; then that of the fewest tries.
FIRST = (
    *(Action.LOOK, Action.END, Action.STOP, Action.PERSON, Action.OPERATOR, Action.WAIT),
    *(Action.NEW_CHECKOUT, Action.REPLACE, Action.REPAIR, Action.STEP_UP),
)
NO_STEP = UNAUTHENTICATED  # what the step-up row is where there is none


class Table:
    """The rows about refused submissions, the merchant's own first."""

    def __init__(self, rows: Iterable[Row], changed: Iterable[Row] = ()) -> None:
        self.rows, self.changed = tuple(rows), tuple(changed)
        self._by_key: dict[tuple[str, str | None], list[Row]] = defaultdict(list)
        for row in (*self.changed, *self.rows):
            self._by_key[row.when.status, row.when.code].append(row)
        for found in self._by_key.values():
            found.sort(key=lambda row: row.when.rank, reverse=True)  # stable: theirs stay first

    def row(
        self, status: int | None, code: str | None, parameter: str | None, charge: str | None
    ) -> Row:
        """The one row: status first, then code, parameter and charge type (PLATFORM §2.12)."""
        for named in _statuses(status):
            for coded in (code, None) if code else (None,):
                for row in self._by_key.get((named, coded), ()):
                    if row.when.covers(parameter, charge):
                        return row
        raise AssertionError("every class of status has a row that names nothing else")

    def remedy(self, rejection: Rejected, charge: str | None) -> Remedy:
        """What a refusal leads to; where it lists several problems, the most final one decides."""
        problems = rejection.problems or (PlatformProblem(),)
        rows = (self.row(rejection.status, p.code, p.parameter, charge).then for p in problems)
        return min(rows, key=lambda row: (FIRST.index(row.action), row.again))


def _statuses(status: int | None) -> tuple[str, ...]:
    """`("409", "4xx")`; whatever is no 4xx is no definite answer."""
    if status is None:
        return ("none",)
    return str(status), "4xx" if 400 <= status < 500 else "5xx"


TABLE = Table(answers.ROWS)


def charge_type(purchase: Purchase) -> str | None:
    """Who starts the charge, as the storefront said when it made the checkout."""
    charge = (purchase.create_request or {}).get("chargeType")
    return charge if isinstance(charge, str) else None


def remedy(rejection: Rejected, charge: str | None = None, table: Table = TABLE) -> Remedy:
    """The one row for a definite rejection of `POST /orders`."""
    return table.remedy(rejection, charge)


def remedy_for(purchase: Purchase, rejection: Rejected, table: Table) -> Remedy:
    """The same for this purchase, once it is known that the shopper takes no step (§4.2)."""
    row = table.remedy(rejection, charge_type(purchase))
    return NO_STEP if row.action is Action.STEP_UP else row


def path(problem: PlatformProblem) -> str | None:
    """Where in the checkout the problem is (Appendix C); `None` if no table says.

    `?.address.state` is that of shipTo or of billTo: the format tells.
    """
    parameter = problem.parameter or ""
    if not parameter:
        return answers.SPEAKING.get(problem.code or "")
    if field := answers.FIELDS.get(parameter):
        return field
    return parameter if root(parameter) in answers.FIELDS else None


def created_only(problem: PlatformProblem) -> str | None:
    """What only the request for a new checkout can name: `items` for `price` (PLATFORM §2.4)."""
    if problem.code in (*answers.GOODS, *answers.PLANS):
        return "items"
    parameter = problem.parameter or ""
    fields = answers.CREATE_ONLY_FIELDS
    return fields.get(parameter) or fields.get(root(parameter))
