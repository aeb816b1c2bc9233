"""Deciding and doing: one purchase at a time each, many at once."""

from consumer.worker.worker import Worker

__all__ = ["Worker"]
