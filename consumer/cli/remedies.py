"""`remedies`: the table by which refusals are remedied, for people, for programs, as a page."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict

from consumer.cli.failures import USAGE, Failure
from consumer.cli.printing import print_json, print_table
from consumer.settings import load_store
from consumer.settings.remedies import load_changes
from handlers.policy import Policy
from handlers.remedies.courses import COURSES, in_words
from handlers.remedies.listing import ANY, Line, Part, lines
from handlers.remedies.words import MERCHANT
from schemas.purchase import State

INTRODUCTION = """# What is done about every refusal

<!-- Made by `make remedies` from the table that the service decides by. Do not edit. -->

This is the whole table: what Order Rescue does about every answer of the platform, how often, who
has to act, and what the shopper reads. `order-rescue remedies` prints it with the changes of your
own file. A change can make a row stricter, never looser.

How to read it:

- **The most exact row counts.** The HTTP status is looked at first, then the code, the parameter,
  and who started the charge. Where a refusal lists several problems, the most final remedy counts.
- **Same source** is how often the shopper may choose a *saved* source once more after it was
  declined: they corrected or authenticated it. Nothing is ever charged again without the
  shopper's choice. A card typed again is another source.
- **New** marks a row that stands for whatever is not known. It is the safest one, and it raises an
  alert.
- The codes are for your team. No shopper, log line or metric ever shows one.
"""

OWN_ROWS = """## 7. Your own rows

`ORDER_RESCUE_REMEDIES_FILE` names a TOML file. Each `[[row]]` says which answers it is about
(`status`, and as you like `code`, `parameter`, `charge_type`) and what is different about them; the
rest stays as above. The service does not start with a file that has unknown keys, two rows about
the same, or a row that is looser than the table; the message names the line.

```toml
[[row]]                    # never the same card again after this one
status = 409
code = "do_not_honor"
again = 0                  # "same source"

[[row]]                    # a failed renewal ends there
status = 409
code = "insufficient_funds"
charge_type = "merchant_initiated"
remedy = "stop"

[choices]                  # where the platform's documents are silent; these are the defaults
submit_free_orders = true  # false: a free order without a payment method waits for one
redirect_reopenings = 1    # 0: a return in vain from the provider's page is enough
repeats = 3                # of a submission without an answer, each after settling; 0 to 3

[limits]
submissions = 5            # a purchase; 1 to 5
```

`new_checkout`, `repair` and `replace` may become `person` or `stop`, `step_up` may become
`new_checkout` as well, `person` may become `stop`. Everything else is what keeps a shopper from
paying twice, and stays.
"""


def remedies(*, as_json: bool, as_markdown: bool) -> None:
    """Print the table. Raises Failure if asked for both kinds."""
    if as_json and as_markdown:
        raise Failure("--json and --markdown exclude each other", USAGE)
    file = load_store().remedies_file
    policy = Policy(**load_changes(file).fields()) if file else Policy()
    found = lines(policy.table, policy)
    if as_json:
        return print_json({"data": [_wire(line) for line in found]})
    if as_markdown:
        sys.stdout.write(page(found, policy))
        return None
    print_table(
        ("when", "is", "remedy", "same source", "who acts", "budget", "source"),
        [_short(line) for line in found],
    )
    return None


def _wire(line: Line) -> dict[str, object]:
    words = {name: name.split("_") for name in asdict(line)}
    camel = {n: w[0] + "".join(map(str.title, w[1:])) for n, w in words.items()}
    return {camel[name]: value for name, value in asdict(line).items()}


def _short(line: Line) -> tuple[object, ...]:
    where = (line.status, line.code, line.parameter, line.charge_type)
    told = (*where, line.order_state, line.session_state, line.note)
    known = " ".join(word for word in told if word not in (ANY, ""))
    return (
        *(line.part.value, known + (" (yours)" if line.changed else ""), line.remedy),
        *(line.again or "-", line.who_acts, line.budget, line.source),
    )


def page(found: Sequence[Line], policy: Policy) -> str:
    """The table as a page of Markdown."""
    answers = [line for line in found if line.part is Part.ANSWER]
    declines = [line for line in answers if line.status == "409" and line.decline]
    others = [line for line in answers if line not in declines]
    return "\n".join(
        [
            INTRODUCTION,
            *_section("1. The remedies", _glossary(policy)),
            *_section(
                "2. Before the order: the payment session of the checkout",
                _grouped(
                    [line for line in found if line.part is Part.CHECKOUT],
                    ("Session", "Remedy", "The shopper reads", "Source"),
                    lambda line: _code(line.session_state) + _aside(line.note),
                    lambda line: (_code(line.remedy), line.shopper_reads, line.source),
                ),
            ),
            *_section(
                "3. The order is refused with 409: declines",
                [
                    "The left half is for charges that the shopper starts, by telephone and of an "
                    "unknown kind too; the right half for those that you start (subscriptions).\n",
                    *_declines(declines),
                ],
            ),
            *_section(
                "4. The order is refused for another reason",
                _grouped(
                    others,
                    ("Status", "Code or parameter", "Remedy", "Same source",
                     "The shopper reads", "Source"),
                    lambda line: line.status,
                    lambda line: (_code(line.remedy) + _new(line), _again(line),
                                  line.shopper_reads, line.source),
                    _named,
                ),
            ),
            *_section(
                "5. There is an order",
                _grouped(
                    [line for line in found if line.part is Part.ORDER],
                    ("Order", "Session", "Remedy", "The shopper reads", "Source"),
                    lambda line: _code(line.order_state) + _aside(line.note),
                    lambda line: (_code(line.session_state), _code(line.remedy) + _new(line),
                                  line.shopper_reads, line.source),
                ),
            ),
            *_section(
                "6. After the sale",
                _grouped(
                    [line for line in found if line.part is Part.LATER],
                    ("What happens", "Remedy", "Source"),
                    lambda line: line.note.replace("event ", "event `") + "`",
                    lambda line: (_code(line.remedy), line.source),
                ),
            ),
        ]
    ) + OWN_ROWS  # fmt: skip


def _section(title: str, content: Iterable[str]) -> list[str]:
    return [f"## {title}\n", *content, ""]


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lined = [f"| {' | '.join(row)} |" for row in rows]
    return [f"| {' | '.join(head)} |", "|" + " --- |" * len(head), *lined]


def _glossary(policy: Policy) -> list[str]:
    rows = [
        (
            _code(action.value),
            course.does,
            course.who.value,
            in_words(course.budget, policy),
            ", ".join(
                f"`{state.value}: {reason.value}`" if reason else f"`{state.value}`"
                for state, reason in course.stands
            )
            + (" *(end)*" if all(s in (State.LOST, State.ACCEPTED) for s, _ in course.stands)
               else ""),
        )
        for action, course in COURSES.items()
    ]  # fmt: skip
    return _table(("Remedy", "What is done", "Who acts", "At most", "The purchase is"), rows)


def _declines(found: Sequence[Line]) -> list[str]:
    """One line a code, both kinds of charge side by side."""
    rows = []
    for line in sorted(found, key=lambda line: line.code.casefold()):
        if line.charge_type != ANY:
            continue
        alike = (o for o in found if o.code == line.code and o.charge_type == MERCHANT)
        ours = next(alike, line)
        rows.append(
            (
                *(_code(line.code), line.decline or "-", _code(line.remedy), _again(line)),
                *(line.shopper_reads, ours.decline or "-", _code(ours.remedy), _again(ours)),
            )
        )
    head = ("Code", "Class", "Remedy", "Same source", "The shopper reads")
    return _table((*head, "Class (yours)", "Remedy (yours)", "Same source (yours)"), rows)


def _grouped(
    found: Sequence[Line],
    head: Sequence[str],
    first: Callable[[Line], str],
    rest: Callable[[Line], tuple[str, ...]],
    named: Callable[[Line], str] | None = None,
) -> list[str]:
    """Rows that differ in what they are about alone are one line."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for line in found:
        about = (first(line), *rest(line)) if named else rest(line)
        groups.setdefault(about, []).append((named or first)(line))
    if named is None:
        return _table(head, [(", ".join(names), *about) for about, names in groups.items()])
    return _table(
        head, [(about[0], ", ".join(names), *about[1:]) for about, names in groups.items()]
    )


def _named(line: Line) -> str:
    parts = [] if line.code in (ANY, "other") else [_code(line.code)]
    if line.parameter == "-":
        parts.append("without a parameter")
    elif line.parameter != ANY:
        parts.append(f"parameter {_code(line.parameter)}")
    if line.charge_type != ANY:
        parts.append(f"({line.charge_type})")
    return " ".join(parts) or ("anything else" if line.code == "other" else "anything")


def _code(value: str) -> str:
    if value == ANY:
        return ANY
    return "any other" if value == "other" else ", ".join(f"`{word}`" for word in value.split())


def _aside(note: str) -> str:
    return f" ({note})" if note else ""


def _new(line: Line) -> str:
    return " **new**" if line.new else ""


def _again(line: Line) -> str:
    return {0: "no", 1: "once more"}.get(line.again, "yes, nothing was charged")
