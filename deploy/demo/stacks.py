"""Where every task stands, down to what it awaits: for a demo whose shoppers don't go home."""

import asyncio
from pathlib import Path
from typing import Any


def stacks() -> str:
    """Of all tasks of this loop, a paragraph each."""
    return "\n\n".join(_stack(task) for task in asyncio.all_tasks())


def _stack(task: asyncio.Task[Any]) -> str:
    """`Task.get_stack` shows of a task that waits its outermost function alone."""
    lines = [task.get_name()]
    waits: Any = task.get_coro()
    while waits is not None:
        frame = _first(waits, "cr_frame", "gi_frame", "ag_frame")
        code = frame.f_code if frame else None
        place = f"{Path(code.co_filename).name}:{frame.f_lineno} {code.co_name}" if code else waits
        lines.append(f"  {place}")
        waits = _first(waits, "cr_await", "gi_yieldfrom", "ag_await")
    return "\n".join(lines)


def _first(thing: Any, *names: str) -> Any:
    return next((found for name in names if (found := getattr(thing, name, None))), None)
