"""`serve`: the service itself, until it is told to stop or a part of it fails."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from importlib.util import find_spec

import structlog
import typer

from consumer import roles
from consumer.app import serve as run_service
from consumer.cli.failures import REFUSED, USAGE, Failure
from consumer.kafka.cluster import KafkaUnusable
from consumer.observe import configure, take_over_hooks
from consumer.settings import Settings, load
from consumer.store.engine import StoreUnavailable
from consumer.store.lock import DatabaseInUse
from consumer.store.migrate import SchemaUnknown


def serve(*, only: str | None, as_json: bool) -> None:
    """Run until SIGTERM or SIGINT. Raises Exit 1 after a crash, which is one line of the log."""
    settings, wanted = _settings(only)
    configure("json" if as_json else settings.log_format, settings.log_level)
    take_over_hooks()
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(run_service(settings, wanted))
    except (DatabaseInUse, SchemaUnknown, StoreUnavailable):
        raise  # said in one line by whoever runs the command
    except KafkaUnusable as error:
        raise Failure(str(error)) from error
    except Exception as error:  # any part may fail in any way; the log is to say so, masked
        structlog.get_logger().critical("the service stopped: a part of it failed", exc_info=error)
        raise typer.Exit(REFUSED) from error


def _settings(only: str | None) -> tuple[Settings, frozenset[roles.Role]]:
    """What the roles need, and the roles. Raises Failure or SettingsInvalid."""
    try:
        wanted = roles.parsed(only)
        settings = load(os.environ | roles.overrides(wanted))
        roles.require(only, wanted, settings)
    except roles.RolesInvalid as error:
        raise Failure(str(error), USAGE) from error
    return settings, wanted


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    if find_spec("uvloop") is None:  # it is only made for CPython
        return None
    import uvloop

    return uvloop.new_event_loop
