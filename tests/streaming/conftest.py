"""The broker that most tests share."""

from tests.services.kafka import kafka

__all__ = ["kafka"]
