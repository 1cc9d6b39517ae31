"""Alembic migrations, one history per database: journal, views, output."""
