"""Structured logs: one JSON object a line, masked (I8), for our own lines and everybody else's."""

from __future__ import annotations

import errno
import logging
import sys
import threading
import traceback
from collections.abc import Iterator, MutableMapping
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, TextIO

import structlog
from structlog.typing import EventDict, Processor

from consumer.observe.masking import masked

ROOT = Path(__file__).parents[2]
LONGEST_LINE = 500  # characters of a foreign message; what follows its first line is dropped
DEEPEST_TRACE = 12  # innermost frames
# Of these only warnings: their other lines hold headers and addresses.
FOREIGN = ("uvicorn", "uvicorn.error", "uvicorn.access", "asyncio", "httpx", "httpcore", "aiohttp")

Format = Literal["json", "console"]


def configure(format: Format, level: str, stream: TextIO | None = None) -> None:
    """Send our logs and those of the libraries to `stream` (standard error), masked.

    May be called again; the last call counts. uvicorn must be started with `log_config=None`.
    """
    out = stream or sys.stderr
    number = logging.getLevelNamesMapping()[level.upper()]
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
        _tell_exception,
        _mask,
    ]
    structlog.configure(
        processors=[*shared, _renderer(format, out)],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(file=out),
        cache_logger_on_first_use=False,
    )
    _take_over_foreign(shared, format, out)


def context(**ids: str | int | None) -> AbstractContextManager[None]:
    """Add ids to every line written inside: `event_id`, `purchase_id`, `command`, `request_id`…"""
    known = {name: value for name, value in ids.items() if value is not None}
    return structlog.contextvars.bound_contextvars(**known)


def describe(error: BaseException) -> dict[str, Any]:
    """An exception without its text, which may hold anything: type, place, frames, causes.

    Of a group it is the first error that is no group; `others` counts the rest.
    """
    leaves = list(_leaves(error))
    first = leaves[0]
    frames = [_place(frame) for frame in traceback.extract_tb(first.__traceback__)]
    told: dict[str, Any] = {"error_type": type(first).__name__}
    if frames:
        told |= {"where": frames[-1], "trace": frames[-DEEPEST_TRACE:]}
    if isinstance(first, OSError) and first.errno:
        told["errno"] = errno.errorcode.get(first.errno, str(first.errno))
    if first.__cause__ is not None:
        told["cause_type"] = type(first.__cause__).__name__
    return told | ({"others": len(leaves) - 1} if len(leaves) > 1 else {})


def take_over_hooks() -> None:
    """Uncaught errors of any thread, and of finalizers, become log lines too."""
    log = structlog.get_logger()

    def uncaught(
        _kind: type[BaseException], error: BaseException, _tb: TracebackType | None
    ) -> None:
        log.critical("uncaught error", exc_info=error)

    def in_thread(args: threading.ExceptHookArgs) -> None:
        name = args.thread.name if args.thread else None
        log.critical("uncaught error in a thread", thread=name, exc_info=args.exc_value or True)

    def unraisable(args: Any) -> None:
        log.error("ignored error in a finalizer", exc_info=args.exc_value or True)

    sys.excepthook, threading.excepthook, sys.unraisablehook = uncaught, in_thread, unraisable


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error


def _place(frame: traceback.FrameSummary) -> str:
    path = Path(frame.filename)
    name = path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else path.name
    return f"{name}:{frame.lineno} {frame.name}"


def _tell_exception(_logger: Any, _method: str, event: EventDict) -> EventDict:
    info = event.pop("exc_info", None)
    if info is True or (isinstance(info, tuple) and len(info) == 3):
        info = (sys.exc_info() if info is True else info)[1]
    event.pop("exception", None)
    event.pop("stack_info", None)
    if isinstance(info, BaseException):
        event.update(describe(info))
    return event


def _mask(_logger: Any, _method: str, event: EventDict) -> MutableMapping[str, Any]:
    safe: dict[str, Any] = masked(event)
    return safe


def _renderer(format: Format, out: TextIO) -> Processor:
    if format == "json":
        return structlog.processors.JSONRenderer(default=str)
    return structlog.dev.ConsoleRenderer(timestamp_key="at", colors=out.isatty())


def _take_over_foreign(shared: list[Processor], format: Format, out: TextIO) -> None:
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[_first_line, *shared],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            _renderer(format, out),
        ],
        keep_exc_info=False,
    )
    handler = logging.StreamHandler(out)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.captureWarnings(True)
    for name in FOREIGN:
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.setLevel(logging.WARNING)
        logger.propagate = True


def _first_line(_logger: Any, _method: str, event: EventDict) -> EventDict:
    # asyncio's messages go on with the repr of tasks and errors, values and all.
    lines = str(event["event"]).strip().splitlines() or [""]
    event["event"] = lines[0][:LONGEST_LINE]
    record = event["_record"]
    event.update(logger=record.name, exc_info=record.exc_info)
    return event
