"""Which replicas live and what they can read; what is purged; indexes."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0004"
branch_labels = None
depends_on = None

Instant = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Add two tables, a column and indexes; what there was stays as it was."""
    op.create_table(
        "replicas",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("reads", sa.Integer(), nullable=False),
        sa.Column("until", Instant, nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    bounds = op.create_table(
        "bounds",
        sa.Column("name", sa.String(length=32), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.bulk_insert(bounds, [{"name": "min_reader", "number": 1}])
    op.add_column("purchases", sa.Column("purged_at", Instant))
    unpurged = sa.text("purged_at IS NULL")
    op.create_index(
        "purchases_unpurged",
        "purchases",
        ["id"],
        postgresql_where=unpurged,
        sqlite_where=unpurged,
    )
    op.create_index("purchases_upstream", "purchases", ["upstream_id"])
    op.create_index("inbox_transport", "inbox", ["transport", "seq"])
