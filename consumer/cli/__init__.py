"""The command line: `order-rescue serve | check | migrate | purchases | show | why | …`.

Exit codes: 0 done, 1 not found, refused or failed, 2 wrong usage or settings.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated

import typer

from consumer.cli import acting, looking
from consumer.cli.failures import guarded
from consumer.clock import SystemClock
from schemas.purchase import State

app = typer.Typer(
    name="order-rescue",
    help="A shopper who meant to buy ends up with exactly one order, or a clear reason why not.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
Name = Annotated[
    str, typer.Argument(metavar="ID", help="A purchase, or its checkout, order or upstream id.")
]
Only = Annotated[
    str | None,
    typer.Option(metavar="ROLES", help="Some of webhooks,kafka,worker,relay; all without it."),
]
Limit = Annotated[int, typer.Option(min=1, max=1000, help="How many at most.")]


class Choice(StrEnum):
    """What an operator may decide."""

    ADOPT_ORDER = "adopt_order"
    NO_ORDER = "no_order"
    RESUME = "resume"
    STOP = "stop"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code, or raises SystemExit with it."""
    return guarded(lambda: app(args=None if arguments is None else list(arguments)))


@app.command()
def serve(only: Only = None, json: Json = False) -> None:
    """Run the service."""
    from consumer.cli.serving import serve as run  # the other commands need no web server

    run(only=only, as_json=json)


@app.command()
def check(json: Json = False) -> None:
    """Print the effective settings; ask the database and the platform whether they answer."""
    from consumer.cli.checking import check as run  # the other commands need no HTTP client

    run(as_json=json)


@app.command()
def migrate(json: Json = False) -> None:
    """Make or complete the tables. `serve` does so by itself."""
    acting.migrate(as_json=json)


@app.command()
def purchases(
    state: Annotated[State | None, typer.Option(help="Only those in this state.")] = None,
    checkout_id: Annotated[str | None, typer.Option(help="The one with this checkout.")] = None,
    upstream_id: Annotated[str | None, typer.Option(help="Those with this upstream id.")] = None,
    order_id: Annotated[str | None, typer.Option(help="The one with this order.")] = None,
    starting_after: Annotated[str | None, typer.Option(help="Older than this purchase.")] = None,
    limit: Limit = 20,
    json: Json = False,
) -> None:
    """List purchases, newest first."""
    looking.list_purchases(
        as_json=json,
        limit=limit,
        state=state.value if state else None,
        checkout_id=checkout_id,
        upstream_id=upstream_id,
        order_id=order_id,
        starting_after=starting_after,
    )


@app.command()
def show(id: Name, json: Json = False) -> None:
    """Show a purchase."""
    looking.show(id, as_json=json)


@app.command()
def why(id: Name, json: Json = False) -> None:
    """Explain a purchase: every decision with its fact, rule, source, evidence, alternatives."""
    looking.why(id, as_json=json)


@app.command()
def decide(
    id: Name,
    decision: Choice,
    note: Annotated[str, typer.Option(help="Why; kept in the timeline.")],
    order_id: Annotated[str | None, typer.Option(help="The order to adopt.")] = None,
    json: Json = False,
) -> None:
    """Decide about a purchase in `review` or `unknown`."""
    acting.decide(
        id, decision.value, note=note, order_id=order_id, clock=SystemClock(), as_json=json
    )


@app.command()
def backfill(
    since: Annotated[str, typer.Option(help="Since when: 2h, 3d or 2024-05-02T09:00:00Z.")],
    until: Annotated[str | None, typer.Option(help="Until when; now, if not given.")] = None,
    json: Json = False,
) -> None:
    """Store the platform's events of the last days, as if their webhooks came again."""
    from consumer.cli.backfilling import backfill as run  # the others need no HTTP client

    run(since=since, until=until, as_json=json)


@app.command()
def forget(
    customer_id: Annotated[str | None, typer.Option(help="A customer of the platform.")] = None,
    email: Annotated[str | None, typer.Option(help="Whoever has this address.")] = None,
    upstream_id: Annotated[str | None, typer.Option(help="The shopper of this order.")] = None,
    json: Json = False,
) -> None:
    """Take a person's data out of everything that is stored."""
    given = {"customerId": customer_id, "email": email, "upstreamId": upstream_id}
    acting.forget(given, clock=SystemClock(), as_json=json)


@app.command()
def remedies(
    json: Json = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="As a page of Markdown.")] = False,
) -> None:
    """Print what is done about every refusal, how often, by whom, and what the shopper reads."""
    from consumer.cli.remedies import remedies as run

    run(as_json=json, as_markdown=markdown)


@app.command("dead-letters")
def dead_letters(
    starting_after: Annotated[str | None, typer.Option(help="Older than this one.")] = None,
    limit: Limit = 20,
    json: Json = False,
) -> None:
    """List what could not be decided or delivered, newest first."""
    looking.list_dead_letters(as_json=json, limit=limit, starting_after=starting_after)


@app.command()
def redrive(
    id: Annotated[str, typer.Argument(metavar="ID", help="As dead-letters prints it.")],
    json: Json = False,
) -> None:
    """Try a dead letter again."""
    acting.redrive(id, clock=SystemClock(), as_json=json)
