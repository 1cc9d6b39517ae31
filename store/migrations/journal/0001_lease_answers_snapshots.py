"""The lease, the answers that commands were given, the snapshots."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

SQLITE = (
    # INSERT OR REPLACE deletes the old row without asking the DELETE trigger.
    """CREATE TRIGGER answers_insert BEFORE INSERT ON answers BEGIN
    SELECT RAISE(ABORT, 'conflict: the command has been answered before')
    WHERE EXISTS (SELECT 1 FROM answers WHERE id = NEW.id);
END""",
    """CREATE TRIGGER answers_update BEFORE UPDATE ON answers BEGIN
    SELECT RAISE(ABORT, 'refused: an answer is never changed');
END""",
    """CREATE TRIGGER answers_delete BEFORE DELETE ON answers BEGIN
    SELECT RAISE(ABORT, 'refused: an answer is never deleted');
END""",
)

POSTGRESQL = (
    """CREATE TRIGGER answers_change BEFORE UPDATE OR DELETE OR TRUNCATE ON answers
    FOR EACH STATEMENT EXECUTE FUNCTION log_refuse()""",
    "ALTER TABLE answers ENABLE ALWAYS TRIGGER answers_change",
)


def upgrade() -> None:
    op.create_table(
        "lease",
        sa.Column("id", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("holder", sa.Text(), nullable=True),
        sa.Column("renewed_at", sa.BigInteger(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="lease_pk"),
        sa.CheckConstraint("id = 1", name="lease_only_row"),
    )
    op.create_table(
        "answers",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("first", sa.BigInteger(), nullable=False),
        sa.Column("last", sa.BigInteger(), nullable=False),
        sa.Column("answer", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="answers_pk"),
    )
    op.create_table(
        "snapshots",
        sa.Column("position", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("position", name="snapshots_pk"),
    )
    sqlite = op.get_context().dialect.name == "sqlite"
    for statement in SQLITE if sqlite else POSTGRESQL:
        op.execute(statement)
    genesis = "zeroblob(32)" if sqlite else "decode(repeat('00', 32), 'hex')"
    op.execute(f"INSERT INTO lease (id, epoch, renewed_at, position, hash) VALUES (1, 0, 0, 0, {genesis})")  # noqa: S608
