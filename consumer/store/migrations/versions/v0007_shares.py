"""Shares of the rate budget."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add a table; what there was stays as it was."""
    op.create_table(
        "shares",
        sa.Column("replica", sa.String(length=64), nullable=False),
        sa.Column("rate", sa.Float(), nullable=False),
        sa.Column("shoppers", sa.Float(), nullable=False),
        sa.Column("others", sa.Float(), nullable=False),
        sa.Column("beat", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("replica"),
    )
