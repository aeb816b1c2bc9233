"""The roles that the processes on one database may share between them (`serve --only`)."""

from __future__ import annotations

from enum import StrEnum

from consumer.settings import PREFIX, Settings
from consumer.store.opening import is_postgres


class Role(StrEnum):
    """What a process does. Whatever its roles, it has `/healthz`, `/readyz` and `/metrics`."""

    WEBHOOKS = "webhooks"  # the HTTP edge: the platform's webhooks, and the API under /v1
    KAFKA = "kafka"  # events from their topic
    WORKER = "worker"  # router, worker, timers, catching up, forgetting, purging
    RELAY = "relay"  # outcomes to their sinks, dead letters to their topic


ALL = frozenset(Role)
CALLERS = frozenset({Role.WEBHOOKS, Role.WORKER})  # those that call the platform


class RolesInvalid(Exception):
    """The process can't start with these roles; `str()` is one line that says why."""


def parsed(only: str | None) -> frozenset[Role]:
    """The roles that `--only` names; all of them without it. Raises RolesInvalid."""
    if only is None:
        return ALL
    names = [name.strip() for name in only.split(",") if name.strip()]
    known = ", ".join(Role)
    if not names:
        raise RolesInvalid(f"--only names no role; there are {known}")
    for name in names:
        if name not in ALL:
            raise RolesInvalid(f"--only: no such role: {name}; there are {known}")
    return frozenset(map(Role, names))


def overrides(roles: frozenset[Role]) -> dict[str, str]:
    """Settings of a process with these roles: who takes no webhooks needs no secrets for them."""
    return {} if Role.WEBHOOKS in roles else {f"{PREFIX}WEBHOOKS": "off"}


def require(only: str | None, roles: frozenset[Role], settings: Settings) -> None:
    """Raises RolesInvalid where a role that was asked for can't work with these settings."""
    if only is None:
        return
    if roles != ALL and not is_postgres(settings.database_url):
        raise RolesInvalid(
            "--only needs PostgreSQL: one process has a SQLite file to itself, and all roles"
        )
    if Role.KAFKA in roles and not settings.kafka:
        raise RolesInvalid(f"--only: the role kafka needs {PREFIX}KAFKA_BOOTSTRAP_SERVERS")
    if Role.RELAY in roles and not (settings.kafka or settings.outcome_webhook_url):
        raise RolesInvalid(
            f"--only: the role relay needs {PREFIX}OUTCOME_WEBHOOK_URL"
            f" or {PREFIX}KAFKA_BOOTSTRAP_SERVERS"
        )
