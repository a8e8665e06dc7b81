"""The table of the queue, as the last migration leaves it.

Times are seconds since 1970; what has parts is JSON in text, since nothing is asked of the parts.
"""

from sqlalchemy import Boolean, Column, Double, Index, Integer, MetaData, String, Table, Text, text

METADATA = MetaData()

ITEMS = Table(
    "review_items",
    METADATA,
    Column("id", String(36), primary_key=True),
    Column("fingerprint", String(64), nullable=False, unique=True),
    Column("created", Double, nullable=False),
    Column("request_id", Text, nullable=False),
    Column("number", Integer, nullable=False),
    Column("model", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("task", Text, nullable=False),
    Column("policy_id", Text, nullable=False),
    Column("measure", Text, nullable=False),
    Column("threshold", Double, nullable=False),
    Column("score", Double, nullable=False),
    Column("reasons", Text, nullable=False),
    Column("prediction", Text, nullable=False),
    Column("statistics", Text, nullable=False),
    Column("input", Text),
    Column("input_sha256", String(64), nullable=False),
    Column("audit", Boolean, nullable=False),
    Column("claimed_by", Text),
    Column("claim_expires", Double),
    Column("resolved", Double),
    Column("reviewer", Text),
    Column("label", Text),
    Column("value", Text),
    Column("note", Text),
    Column("agreed", Boolean),
)

_OPEN = text("resolved IS NULL")
OPEN_AUDITS = text("resolved IS NULL AND audit")
"""As the index has it: a database uses it where it is asked in the same words."""

Index("review_items_open_by_score", ITEMS.c.score, ITEMS.c.id, sqlite_where=_OPEN, postgresql_where=_OPEN)
Index("review_items_open_audits", ITEMS.c.id, sqlite_where=OPEN_AUDITS, postgresql_where=OPEN_AUDITS)
Index("review_items_by_model", ITEMS.c.model, ITEMS.c.id)
