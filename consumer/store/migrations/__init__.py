"""Alembic migrations: additive, run at start under a lock."""
