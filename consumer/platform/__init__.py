"""The only thing that talks HTTP to the platform."""

from consumer.platform.answers import Answer
from consumer.platform.calls import Call
from consumer.platform.client import Platform
from consumer.platform.envelope import problems
from consumer.platform.limiter import Limiter, LocalLimiter, Priority, Turn
from consumer.platform.paths import ImpossiblePath, path, route
from consumer.platform.shared_limiter import SharedLimiter

__all__ = [
    "Answer",
    "Call",
    "ImpossiblePath",
    "Limiter",
    "LocalLimiter",
    "Platform",
    "Priority",
    "SharedLimiter",
    "Turn",
    "path",
    "problems",
    "route",
]
