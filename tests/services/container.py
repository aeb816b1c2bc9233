"""A container engine, where one answers: the first choice for a real service."""

import shutil
import subprocess
from functools import cache


@cache
def engine() -> bool:
    """Whether a container engine answers."""
    if shutil.which("docker") is None:
        return False
    try:
        return _done("info", "--format={{.ServerVersion}}", seconds=10.0)
    except subprocess.TimeoutExpired:
        return False


@cache
def has(image: str) -> bool:
    """Whether it can run this image without fetching anything."""
    return engine() and _done("image", "inspect", image)


def pulled(image: str) -> bool:
    """Fetch an image, if there is an engine: whether it is there now."""
    return has(image) or (engine() and _done("pull", "--quiet", image))


def kill(name: str, signal: int) -> None:
    """Send a container's program a signal."""
    _done("kill", f"--signal={signal}", name)


def _done(*words: str, seconds: float | None = None) -> bool:
    command = ["docker", *words]
    ended = subprocess.run(command, capture_output=True, timeout=seconds, check=False)
    return ended.returncode == 0
