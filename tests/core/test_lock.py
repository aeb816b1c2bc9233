"""The lock files: hashes for everything, no download address, one version of each package."""

import re
from pathlib import Path

import pytest

REQUIREMENTS = Path(__file__).parents[2] / "requirements"
LOCKS = sorted(REQUIREMENTS.glob("*.txt"))


def pins(path: Path) -> dict[str, str]:
    """Package to its pin with markers, without hashes."""
    text = path.read_text("utf-8")
    return {
        name: pin.strip() for name, pin in re.findall(r"^([\w.-]+)(==[^\\\n]+)", text, re.MULTILINE)
    }


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: path.name)
def test_a_lock_file_names_no_address(path: Path) -> None:
    lines = path.read_text("utf-8").splitlines()
    assert [line for line in lines if "://" in line or line.lstrip().startswith("-i")] == []
    assert [line for line in lines if re.match(r"\s*--(?!hash=)", line)] == []


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: path.name)
def test_every_pin_has_a_hash(path: Path) -> None:
    blocks = re.split(r"\n(?=[a-zA-Z])", path.read_text("utf-8"))
    assert len(blocks) == len(re.findall(r"^[\w.-]+==", path.read_text("utf-8"), re.MULTILINE)) > 0
    assert [block for block in blocks if "--hash=sha256:" not in block] == []


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: path.name)
def test_what_runs_is_what_was_tested(path: Path) -> None:
    tested, found = pins(REQUIREMENTS / "dev.txt"), pins(path)
    if path.name == "bench.txt":  # the yardsticks and the charts are no part of what runs
        found = {name: pin for name, pin in found.items() if name in tested}
    assert {name: tested.get(name) for name in found} == found
