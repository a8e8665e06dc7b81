"""Run by Alembic: it migrates the connection that it is given."""

from alembic import context

from service.review.schema import METADATA

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    version_table="review_schema",
)
context.run_migrations()
