"""`check`: the effective settings, and whether database, platform and Kafka answer."""

from __future__ import annotations

import asyncio
import os

from consumer.cli.failures import REFUSED, Failure
from consumer.cli.opening import engine_for
from consumer.cli.printing import console, print_json, print_table
from consumer.clock import SystemClock
from consumer.errors import PlatformError, Rejected
from consumer.kafka.cluster import KafkaAway, KafkaUnusable, cluster
from consumer.observe import configure
from consumer.platform import LocalLimiter, Platform
from consumer.settings import Settings, effective, load
from consumer.store.engine import StoreUnavailable
from consumer.store.lock import database_file
from consumer.store.migrate import SchemaUnknown, rehearse
from consumer.store.opening import is_postgres

LONGEST_WAIT = 10.0  # seconds for the platform; somebody is watching


def check(*, as_json: bool) -> None:
    """Print settings and problems. Raises Failure if there are any problems."""
    settings = load()
    configure(settings.log_format, settings.log_level)
    problems = [*database_problems(settings), *asyncio.run(platform_problems(settings))]
    problems += asyncio.run(kafka_problems(settings))
    shown = effective(settings)
    if as_json:
        print_json({"settings": [s._asdict() for s in shown], "problems": problems})
    else:
        print_table(("setting", "value"), [(s.name, s.value) for s in shown])
        if not problems:
            console().print("\nthe database and the platform answer")
    if problems:
        raise Failure("\n".join(problems), REFUSED)


def database_problems(settings: Settings) -> list[str]:
    """What would keep `serve` from opening or migrating the database. Changes nothing."""
    where = "the database"
    if not is_postgres(settings.database_url):
        file = database_file(settings.database_url)
        where = f"the database {file}"
        if not file.exists():
            folder = file.parent
            usable = folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)
            return [] if usable else [f"the database: no file can be made in {folder}"]
    try:
        rehearse(engine_for(settings))
    except (SchemaUnknown, StoreUnavailable) as error:
        return [f"{where}: {error}"]
    return []


async def kafka_problems(settings: Settings) -> list[str]:
    """What would keep `serve` from reading and writing Kafka."""
    if not settings.kafka:
        return []
    try:
        await cluster(settings).check()
    except KafkaUnusable as error:
        return error.lines
    except KafkaAway:
        return [f"Kafka at {', '.join(settings.kafka_bootstrap_servers)} does not answer"]
    return []


async def platform_problems(settings: Settings) -> list[str]:
    """What the platform says to a harmless reading with this key."""
    clock = SystemClock()
    limit = min(settings.platform_timeout, LONGEST_WAIT)
    platform = Platform(
        settings.platform_url,
        settings.platform_key.get_secret_value(),
        LocalLimiter(settings.platform_rate, clock),
        clock,
        version=settings.platform_version,
        timeout=limit,
        patience=1.0,
    )
    async with platform:
        try:
            await platform.get("/orders", {"limit": 1})
        except Rejected as error:
            if error.status in (401, 403):
                return [f"the platform refuses this key (status {error.status})"]
            return [f"the platform: {error}"]
        except PlatformError as error:
            return [f"the platform at {settings.platform_url} does not answer: {error}"]
    return []
