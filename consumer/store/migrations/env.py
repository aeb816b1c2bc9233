"""Alembic's entry: runs the migrations over the connection that `migrate` hands in."""

from alembic import context

from consumer.store.tables import metadata

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
