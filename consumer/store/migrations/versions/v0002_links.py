"""Links between purchases, marks of how far the platform's events are known, who was forgotten."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

RowNumber = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
Instant = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Add three tables; what there was stays as it was."""
    op.create_table(
        "links",
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("value", sa.String(length=255), nullable=False),
        sa.Column("purchase_id", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("kind", "value", "purchase_id"),
    )
    op.create_index("links_purchase", "links", ["purchase_id"])
    op.create_table(
        "marks",
        sa.Column("name", sa.String(length=32), nullable=False),
        sa.Column("at", Instant, nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "forgotten",
        sa.Column("purchase_id", sa.String(length=64), nullable=False),
        sa.Column("at", Instant, nullable=False),
        sa.Column("clean_to", RowNumber, nullable=False),
        sa.PrimaryKeyConstraint("purchase_id"),
    )
