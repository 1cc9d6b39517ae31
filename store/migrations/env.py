"""The one environment of all areas; `scitq.store.upgrade` says which area, and on which connection."""

from alembic import context

from scitq.store.schema import version_table

area = context.config.attributes["area"]

if context.is_offline_mode():
    context.configure(
        dialect_name=context.config.attributes["dialect"], version_table=version_table(area), literal_binds=True
    )
else:
    context.configure(
        connection=context.config.attributes["connection"],
        version_table=version_table(area),
    )

with context.begin_transaction():
    context.run_migrations()
