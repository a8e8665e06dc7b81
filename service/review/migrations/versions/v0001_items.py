"""The table of items."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make it."""
    op.create_table(
        "review_items",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("fingerprint", sa.String(64), nullable=False, unique=True),
        sa.Column("created", sa.Double, nullable=False),
        sa.Column("request_id", sa.Text, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("version", sa.Text, nullable=False),
        sa.Column("task", sa.Text, nullable=False),
        sa.Column("policy_id", sa.Text, nullable=False),
        sa.Column("measure", sa.Text, nullable=False),
        sa.Column("threshold", sa.Double, nullable=False),
        sa.Column("score", sa.Double, nullable=False),
        sa.Column("reasons", sa.Text, nullable=False),
        sa.Column("prediction", sa.Text, nullable=False),
        sa.Column("statistics", sa.Text, nullable=False),
        sa.Column("input", sa.Text),
        sa.Column("input_sha256", sa.String(64), nullable=False),
        sa.Column("audit", sa.Boolean, nullable=False),
        sa.Column("claimed_by", sa.Text),
        sa.Column("claim_expires", sa.Double),
        sa.Column("resolved", sa.Double),
        sa.Column("reviewer", sa.Text),
        sa.Column("label", sa.Text),
        sa.Column("value", sa.Text),
        sa.Column("note", sa.Text),
        sa.Column("agreed", sa.Boolean),
    )
    is_open = sa.text("resolved IS NULL")
    op.create_index(
        "review_items_open_by_score",
        "review_items",
        ["score", "id"],
        sqlite_where=is_open,
        postgresql_where=is_open,
    )
    op.create_index("review_items_by_model", "review_items", ["model", "id"])
