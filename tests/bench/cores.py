"""Processor time of a process and all that it started: what is left of noise on a busy machine."""

import os
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


def used(pid: int) -> float:
    """Seconds so far, with those of its children, ended ones too."""
    return sum(_fields(each) for each in _family(pid)) / TICKS


def _fields(pid: int) -> int:
    """Ticks of its own and of children that it has waited for."""
    words = _stat(pid)
    return sum(map(int, words[11:15])) if words else 0


def _family(pid: int) -> set[int]:
    parents = {int(p.name): _stat(int(p.name)) for p in Path("/proc").iterdir() if p.name.isdigit()}
    family, size = {pid}, 0
    while len(family) > size:
        size = len(family)
        family |= {each for each, words in parents.items() if words and int(words[1]) in family}
    return family


def _stat(pid: int) -> list[str]:
    """The words behind its name in /proc/<pid>/stat; none where it has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []
