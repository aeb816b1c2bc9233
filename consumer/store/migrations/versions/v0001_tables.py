"""The first tables. Spelled out, so that a later change of tables.py does not change history."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# SQLite only gives rising row numbers to INTEGER.
RowNumber = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
Instant = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Create all tables and their indexes."""
    _commands()
    _decisions()
    _deliveries()
    _inbox()
    _keys()
    _leases()
    _outcomes()
    _purchases()
    _waiting()


def _commands() -> None:
    op.create_table(
        "commands",
        sa.Column("seq", RowNumber, autoincrement=True, nullable=False),
        sa.Column("key", sa.String(length=1000), nullable=False),
        sa.Column("purchase_id", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("status", sa.String(length=8), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("at", Instant, nullable=False),
        sa.Column("due", Instant, nullable=False),
        sa.Column("deadline", Instant),
        sa.Column("epoch", sa.Integer()),
        sa.Column("ended", Instant),
        sa.PrimaryKeyConstraint("seq"),
        sa.UniqueConstraint("key"),
        sqlite_autoincrement=True,
    )
    op.create_index("commands_due", "commands", ["status", "due"])
    op.create_index("commands_purchase", "commands", ["purchase_id", "status", "seq"])


def _decisions() -> None:
    op.create_table(
        "decisions",
        sa.Column("seq", RowNumber, autoincrement=True, nullable=False),
        sa.Column("purchase_id", sa.String(length=64), nullable=False),
        sa.Column("fact_seq", RowNumber, nullable=False),
        sa.Column("at", Instant, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.String(length=32)),
        sa.Column("rule", sa.String(length=64), nullable=False),
        sa.Column("source", sa.String(length=64), nullable=False),
        sa.Column("evidence", sa.Text(), nullable=False),
        sa.Column("alternatives", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("seq"),
        sqlite_autoincrement=True,
    )
    op.create_index("decisions_purchase", "decisions", ["purchase_id", "seq"])


def _deliveries() -> None:
    op.create_table(
        "deliveries",
        sa.Column("outcome_id", sa.String(length=100), nullable=False),
        sa.Column("sink", sa.String(length=16), nullable=False),
        sa.Column("purchase_id", sa.String(length=64), nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(length=8), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("due", Instant, nullable=False),
        sa.Column("reason", sa.String(length=255)),
        sa.PrimaryKeyConstraint("outcome_id", "sink"),
    )
    op.create_index("deliveries_due", "deliveries", ["status", "due"])
    op.create_index("deliveries_purchase", "deliveries", ["purchase_id", "sink", "sequence"])


def _inbox() -> None:
    op.create_table(
        "inbox",
        sa.Column("seq", RowNumber, autoincrement=True, nullable=False),
        sa.Column("origin", sa.String(length=16), nullable=False),
        sa.Column("id", sa.String(length=1200), nullable=False),
        sa.Column("transport", sa.String(length=16), nullable=False),
        sa.Column("type", sa.String(length=255), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("at", Instant, nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("status", sa.String(length=8), nullable=False),
        sa.Column("reason", sa.String(length=255)),
        sa.Column("purchase_id", sa.String(length=64)),
        sa.PrimaryKeyConstraint("seq"),
        sa.UniqueConstraint("origin", "id"),
        sqlite_autoincrement=True,
    )
    op.create_index("inbox_purchase", "inbox", ["purchase_id", "status", "seq"])
    op.create_index("inbox_status", "inbox", ["status", "seq"])


def _keys() -> None:
    op.create_table(
        "keys",
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("value", sa.String(length=255), nullable=False),
        sa.Column("purchase_id", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("kind", "value"),
    )
    op.create_index("keys_purchase", "keys", ["purchase_id"])


def _leases() -> None:
    op.create_table(
        "leases",
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("owner", sa.String(length=64), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("until", Instant, nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )


def _outcomes() -> None:
    op.create_table(
        "outcomes",
        sa.Column("id", sa.String(length=100), nullable=False),
        sa.Column("purchase_id", sa.String(length=64), nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("type", sa.String(length=64), nullable=False),
        sa.Column("at", Instant, nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("outcomes_purchase", "outcomes", ["purchase_id", "sequence"])


def _purchases() -> None:
    op.create_table(
        "purchases",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("upstream_id", sa.String(length=255), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.String(length=32)),
        sa.Column("checkout_id", sa.String(length=255), nullable=False),
        sa.Column("order_id", sa.String(length=255)),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("schema_number", sa.Integer(), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("created_at", Instant, nullable=False),
        sa.Column("updated_at", Instant, nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("purchases_state", "purchases", ["state", "id"])


def _waiting() -> None:
    op.create_table(
        "waiting",
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("value", sa.String(length=255), nullable=False),
        sa.Column("seq", RowNumber, nullable=False),
        sa.PrimaryKeyConstraint("kind", "value", "seq"),
    )
