"""How a command fails: one clear line on standard error, and an exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from consumer.observe import describe
from consumer.settings import PREFIX, SettingsInvalid
from consumer.store.engine import StoreUnavailable
from consumer.store.lock import DatabaseInUse
from consumer.store.migrate import SchemaUnknown
from consumer.store.purchases import TooNew

REFUSED = 1
USAGE = 2


class Failure(Exception):
    """The command did not do what was asked; `str()` says why, `code` is the exit code."""

    def __init__(self, text: str, code: int = REFUSED) -> None:
        super().__init__(text)
        self.code = code


def guarded(run: Callable[[], object]) -> int:
    """Run a command; its exit code. Errors that nobody foresaw are one line too.

    With ORDER_RESCUE_LOG_LEVEL=debug those are raised, traceback and all.
    """
    try:
        run()
    except SettingsInvalid as error:
        return _tell(error.lines, USAGE)
    except Failure as error:
        return _tell(str(error).splitlines(), error.code)
    except (DatabaseInUse, SchemaUnknown) as error:
        return _tell([str(error)], REFUSED)
    except StoreUnavailable as error:
        return _tell([f"the database can't be used now: {error}"], REFUSED)
    except TooNew as error:
        return _tell([f"a newer version of order-rescue wrote {error}: look with that"], REFUSED)
    except BrokenPipeError:  # the reader has seen enough; nothing more can be printed
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return REFUSED
    except KeyboardInterrupt:
        return 130
    except Exception as error:  # the last line: a command ends with one line, not a traceback
        if os.environ.get(f"{PREFIX}LOG_LEVEL", "").lower() == "debug":
            raise
        told = describe(error)
        return _tell(
            [
                f"unexpected {told['error_type']} at {told.get('where', 'an unknown place')}"
                f" (more with {PREFIX}LOG_LEVEL=debug)"
            ],
            REFUSED,
        )
    return 0


def _tell(lines: list[str], code: int) -> int:
    for line in lines:
        print(f"order-rescue: {line}", file=sys.stderr)
    return code
