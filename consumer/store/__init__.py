"""Durable state. Functions are synchronous over a SQLAlchemy connection, inside a transaction."""
