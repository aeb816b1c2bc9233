"""Dead letters that have not been announced; those that there are now are to be."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

RowNumber = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add a table; what there was stays as it was."""
    op.create_table(
        "unannounced",
        sa.Column("seq", RowNumber, nullable=False, autoincrement=False),
        sa.PrimaryKeyConstraint("seq"),
    )
    op.execute("INSERT INTO unannounced (seq) SELECT seq FROM inbox WHERE status = 'dead'")
