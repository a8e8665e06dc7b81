"""An index of the audits that wait: whether there are any is asked with every list."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Make it."""
    waiting = sa.text("resolved IS NULL AND audit")
    op.create_index(
        "review_items_open_audits", "review_items", ["id"], sqlite_where=waiting, postgresql_where=waiting
    )
