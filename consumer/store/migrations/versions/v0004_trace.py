"""The trace that an event came with."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add a column; what there was has no trace."""
    op.add_column("inbox", sa.Column("trace", sa.String(length=55)))
