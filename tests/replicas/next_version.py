"""`python next_version.py`: the service as its next version would be.

The same code, with the next schema number in `schemas/purchase.py` before anything imports it.
"""

import re
import sys
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

NAME = "schemas.purchase"
NUMBER = re.compile(r"^SCHEMA_NUMBER = (\d+)$", re.MULTILINE)


def raise_number() -> None:
    """Import the module that names the number as its next version."""
    found = find_spec(NAME)
    assert found is not None
    assert found.origin is not None
    text = Path(found.origin).read_text()
    changed, times = NUMBER.subn(lambda line: f"SCHEMA_NUMBER = {int(line[1]) + 1}", text)
    assert times == 1, "the number is written in another way"
    module = ModuleType(NAME)
    module.__spec__, module.__file__ = found, found.origin
    sys.modules[NAME] = module
    exec(compile(changed, found.origin, "exec"), module.__dict__)


if __name__ == "__main__":
    raise_number()

    from consumer.cli import main

    sys.exit(main(["serve"]))
