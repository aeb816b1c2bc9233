"""`python -m deploy.sandbox`: the stand-in platform for local runs."""

import argparse
import asyncio
import signal
import sys
from collections.abc import Sequence

from .errors import Refusal
from .server import Options, running
from .settings import CHOICES, Settings


def options_of(arguments: Sequence[str] | None = None) -> Options:
    parser = argparse.ArgumentParser(prog="sandbox", description="A stand-in platform.")
    add = parser.add_argument
    add("--host", default="127.0.0.1")
    add("--port", type=int, default=9090, help="0 takes any free port")
    add("--key", action="append", dest="keys", help="a secret key; sk_test_… is test mode")
    add("--webhook-url", default="http://127.0.0.1:8080/webhooks/digital-river")
    add("--webhook-secret", default="whsec_sandbox", help="NEW[,OLD]")
    add("--webhook-types", default="*", help="comma-separated, wildcards allowed")
    add("--basic", help="user:password for the webhook")
    add("--speed", type=float, default=1.0, help="divides retry, review and settlement delays")
    add("--disable-after", type=int, default=20, help="failures in a row end a webhook")
    add("--seed", type=int, help="makes ids and faults repeatable")
    add("--set", action="append", dest="settings", metavar="NAME=VALUE", default=[],
        help="a setting, such as webhooks=off")  # fmt: skip
    add("--rate", type=float, help="requests a second for every key")
    found = parser.parse_args(arguments)
    if found.speed <= 0:
        parser.error("--speed must be above zero")
    settings = dict(setting_of(text, parser) for text in found.settings)
    user, colon, password = (found.basic or "").partition(":")
    if found.basic and not colon:
        parser.error("--basic must be user:password")
    return Options(
        host=found.host,
        port=found.port,
        keys=tuple(found.keys or ["sk_test_sandbox"]),
        webhook_url=found.webhook_url or None,
        webhook_secrets=tuple(found.webhook_secret.split(",")),
        webhook_types=tuple(found.webhook_types.split(",")),
        basic=(user, password) if found.basic else None,
        speed=found.speed,
        seed=found.seed,
        rate=found.rate,
        disable_after=found.disable_after,
        settings=settings,
    )


def setting_of(text: str, parser: argparse.ArgumentParser) -> tuple[str, str | float]:
    """Ends the program with one line if there is no such setting, or not with this value."""
    name, _, raw = text.partition("=")
    value: str | float = raw if name in CHOICES else number(raw)
    try:
        Settings().change({name: value})
    except Refusal as refusal:
        parser.error(f"--set {text}: {refusal.body['errors'][0]['message']}")
    return name, value


def number(text: str) -> float:
    """Zero, which no setting may be, for what is no number."""
    try:
        return float(text)
    except ValueError:
        return 0.0


async def main(options: Options) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with running(options) as sandbox:
        print(f"sandbox listening on {sandbox.url}", flush=True)
        await stop.wait()


def run() -> int:
    options = options_of()
    try:
        asyncio.run(main(options))
    except OSError as error:
        print(f"sandbox: {options.host}:{options.port}: {error.strerror}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(run())
