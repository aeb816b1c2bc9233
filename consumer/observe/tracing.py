"""W3C trace context, if OpenTelemetry is installed (`order-rescue[otel]`); else there is none.

A trace that an event came with is kept with it, followed while its purchase is worked on, and put
on what that sends: calls of the platform and outcomes. Spans are whoever's SDK makes them.
"""

from __future__ import annotations

from collections.abc import Mapping

try:
    from opentelemetry.context import attach
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
except ImportError:  # it is an extra
    _w3c = None
else:
    _w3c = TraceContextTextMapPropagator()

HEADER = "traceparent"


def received(carrier: Mapping[str, str]) -> str | None:
    """The trace context among headers, `00-<trace>-<span>-<flags>`; `None` if it is none."""
    if _w3c is None or HEADER not in carrier:
        return None
    valid: dict[str, str] = {}
    _w3c.inject(valid, _w3c.extract({HEADER: carrier[HEADER]}))
    return valid.get(HEADER)


def follow(trace: str | None) -> None:
    """From here on this task, and those that it starts, belong to the trace. `None`: as before."""
    if _w3c is not None and trace:
        attach(_w3c.extract({HEADER: trace}))


def current() -> str | None:
    """The trace that is followed here."""
    return headers().get(HEADER)


def headers() -> dict[str, str]:
    """What to put on a call, so that whoever is called belongs to the trace as well."""
    found: dict[str, str] = {}
    if _w3c is not None:
        _w3c.inject(found)
    return {HEADER: found[HEADER]} if HEADER in found else {}
