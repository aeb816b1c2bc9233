"""What goes wrong on purpose, by rate or by script. Fault times are real seconds."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any

from .errors import invalid, unknown

KINDS = frozenset({
    "latency", "before_commit", "after_commit", "cut", "late_commit", "hang", "rate_limit",
    "error", "garbage",
})  # fmt: skip
DRAWN = ("before_commit", "after_commit", "cut", "late_commit", "hang", "rate_limit", "garbage")
WEBHOOK = ("webhook_lost", "webhook_doubled", "webhook_delayed", "webhook_reordered")
RATES = frozenset({*DRAWN, *WEBHOOK, "latency", "list_lag"})
MATCHES = frozenset({"method", "path", "checkoutId", "upstreamId"})
ACTION = frozenset({
    "kind", "status", "code", "parameter", "message", "type", "seconds", "retryAfter", "body",
    "where", "commits",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Action:
    """`status`, `code` … of an `error`; `seconds` of a wait; `where` a cut falls."""

    kind: str
    status: int | None = None
    code: str | None = None
    parameter: str | None = None
    message: str | None = None
    type: str | None = None
    seconds: float = 1.0
    retry_after: int | None = None
    body: str | None = None
    where: str | None = None
    commits: bool = True


@dataclass(slots=True)
class Script:
    match: Mapping[str, str]
    action: Action
    times: int | None = 1
    skip: int = 0
    used: int = 0

    def fits(self, call: Mapping[str, str | None]) -> bool:
        if self.times is not None and self.used >= self.times:
            return False
        for name, wanted in self.match.items():
            found = call.get(name)
            if name == "path":
                if not re.fullmatch(wanted, found or ""):
                    return False
            elif found != wanted:
                return False
        return True


@dataclass(slots=True)
class Faults:
    """Scripts come before rates; of the rates, latency may come with one other."""

    random: Random
    rates: dict[str, Any] = field(default_factory=dict)
    scripts: list[Script] = field(default_factory=list)
    paths: str = ".*"
    spent: int = 0

    def clear(self) -> None:
        self.rates, self.scripts, self.paths = {}, [], ".*"

    def change(self, wanted: dict[str, Any]) -> None:
        """Replaces the rates if given, and appends the scripts. Raises Refusal and changes
        nothing if anything in it is not understood."""
        for name in wanted:
            if name not in ("rates", "scripts", "paths"):
                raise unknown(name)
        rates = wanted.get("rates")
        for name in rates or {}:
            if name not in RATES:
                raise unknown(f"rates.{name}")
        scripts = [script_of(one) for one in wanted.get("scripts") or []]
        paths = wanted.get("paths", self.paths)
        check_pattern("paths", paths)
        if rates is not None:
            self.rates = dict(rates)
        self.paths = paths
        self.scripts.extend(scripts)

    def choose(self, call: Mapping[str, str | None]) -> list[Action]:
        """What happens to this call, in order; nothing most of the time."""
        for script in self.scripts:
            if script.fits(call):
                if script.skip:
                    script.skip -= 1
                    continue
                script.used += 1
                return [script.action]
        if not self.rates or not re.fullmatch(self.paths, call.get("path") or ""):
            return []
        return self._drawn()

    def _drawn(self) -> list[Action]:
        actions = []
        latency = self.rates.get("latency")
        if latency and self.random.random() < rate_of(latency):
            actions.append(Action("latency", seconds=self._seconds(latency)))
        for name in DRAWN:
            spec = self.rates.get(name)
            if spec and self.random.random() < rate_of(spec):
                after = spec.get("retryAfter") if isinstance(spec, dict) else None
                return [*actions, Action(name, seconds=self._seconds(spec), retry_after=after)]
        return actions

    def _seconds(self, spec: object) -> float:
        value = spec.get("seconds", 1.0) if isinstance(spec, dict) else 1.0
        if isinstance(value, list):
            return self.random.uniform(float(value[0]), float(value[1]))
        return float(value)

    def webhook(self, name: str) -> float | None:
        """Seconds to wait if this webhook fault strikes now, else None."""
        spec = self.rates.get(name)
        if not spec or self.random.random() >= rate_of(spec):
            return None
        return self._seconds(spec)

    @property
    def list_lag(self) -> float:
        spec = self.rates.get("list_lag", 0)
        return float(spec.get("seconds", 0) if isinstance(spec, dict) else spec)

    def view(self) -> dict[str, Any]:
        return {
            "rates": self.rates,
            "paths": self.paths,
            "scripts": [
                {
                    "match": dict(script.match),
                    "kind": script.action.kind,
                    "times": script.times,
                    "used": script.used,
                }
                for script in self.scripts
            ],
        }


def rate_of(spec: object) -> float:
    return float(spec.get("rate", 1) if isinstance(spec, dict) else spec)  # type: ignore[arg-type]


def check_pattern(name: str, pattern: object) -> None:
    try:
        re.compile(str(pattern))
    except re.error as error:
        raise invalid(name, f"not a regular expression: {error}") from error


def script_of(wanted: dict[str, Any]) -> Script:
    match, action = wanted.get("match", {}), wanted.get("action", {})
    for name in wanted:
        if name not in ("match", "action", "times", "skip"):
            raise unknown(f"scripts.{name}")
    for name in match:
        if name not in MATCHES:
            raise unknown(f"match.{name}")
    for name in action:
        if name not in ACTION:
            raise unknown(f"action.{name}")
    if action.get("kind") not in KINDS:
        raise invalid("action.kind", f"one of {', '.join(sorted(KINDS))}")
    check_pattern("match.path", match.get("path", ""))
    values = {("retry_after" if name == "retryAfter" else name): action[name] for name in action}
    return Script(match, Action(**values), wanted.get("times", 1), wanted.get("skip", 0))
