"""Routing: every stored event gets its purchase, or a reason why it has none."""

from consumer.router.router import Router

__all__ = ["Router"]
