"""${message}."""

import sqlalchemy as sa
from alembic import op

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Only add: the version before this one may still be running."""
    ${upgrades if upgrades else "raise NotImplementedError"}
