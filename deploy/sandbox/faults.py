"""What goes wrong on purpose, by rate or by script. Fault times are real seconds."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any

from .errors import invalid, unknown
from .fields import ANY, FLAG, LIST, NUMBER, OBJECT, TEXT, check

KINDS = frozenset({
    "latency", "before_commit", "after_commit", "cut", "late_commit", "hang", "rate_limit",
    "error", "garbage",
})  # fmt: skip
DRAWN = ("before_commit", "after_commit", "cut", "late_commit", "hang", "rate_limit", "garbage")
WEBHOOK = ("webhook_lost", "webhook_doubled", "webhook_delayed", "webhook_reordered")
RATES = frozenset({*DRAWN, *WEBHOOK, "latency", "list_lag"})
MATCH = {"method": TEXT, "path": TEXT, "checkoutId": TEXT, "upstreamId": TEXT}
ACTION = {
    "kind": TEXT, "status": NUMBER, "code": TEXT, "parameter": TEXT, "message": TEXT, "type": TEXT,
    "seconds": NUMBER, "retryAfter": NUMBER, "body": TEXT, "where": TEXT, "commits": FLAG,
}  # fmt: skip
SCRIPT = {"match": OBJECT, "action": OBJECT, "times": NUMBER, "skip": NUMBER}
RATE = {"rate": NUMBER, "seconds": ANY, "retryAfter": NUMBER}


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

    def clear(self) -> None:
        self.rates, self.scripts, self.paths = {}, [], ".*"

    def change(self, wanted: dict[str, Any]) -> None:
        """Replaces rates and paths if given, appends the scripts. Raises Refusal, and changes
        nothing, if anything in it is not understood."""
        check(wanted, {"rates": OBJECT, "scripts": LIST, "paths": TEXT})
        rates = wanted.get("rates")
        check_rates(rates or {})
        scripts = [script_of(one) for one in wanted.get("scripts") or []]
        paths = wanted.get("paths") or ".*"
        check_pattern("paths", paths)
        if rates is not None:
            self.rates = dict(rates)
        if "paths" in wanted:
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


def check_rates(rates: dict[str, Any]) -> None:
    """A rate is a number from 0 to 1, or `{"rate", "seconds", "retryAfter"}`."""
    for name, spec in rates.items():
        if name not in RATES:
            raise unknown(f"rates.{name}")
        if isinstance(spec, dict):
            check(spec, RATE)
        elif not _number(spec):
            raise invalid(f"rates.{name}", "a number or an object")
        seconds = spec.get("seconds", 1.0) if isinstance(spec, dict) else 1.0
        span = seconds if isinstance(seconds, list) else [seconds, seconds]
        if len(span) != 2 or not all(_number(one) and one >= 0 for one in span):
            raise invalid(f"rates.{name}.seconds", "a number, or the least and the most")
        if name != "list_lag" and not 0 <= rate_of(spec) <= 1:
            raise invalid(f"rates.{name}", "from 0 to 1")


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def script_of(wanted: object) -> Script:
    if not isinstance(wanted, dict):
        raise invalid("scripts", "a list of objects")
    check(wanted, SCRIPT)
    match, action = wanted.get("match") or {}, wanted.get("action") or {}
    check(match, MATCH)
    check(action, ACTION)
    if action.get("kind") not in KINDS:
        raise invalid("action.kind", f"one of {', '.join(sorted(KINDS))}")
    if action.get("where") not in (None, "before", "middle"):
        raise invalid("action.where", "before or middle")
    check_pattern("match.path", match.get("path", ""))
    given = {name: value for name, value in action.items() if value is not None}
    if "retryAfter" in given:
        given["retry_after"] = int(given.pop("retryAfter"))
    return Script(match, Action(**given), wanted.get("times", 1), int(wanted.get("skip") or 0))
