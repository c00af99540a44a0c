"""The archive: where each bundle is, exchanges in hand, runs over the archive, what a revision changed."""

from typing import Any

import sqlalchemy as sa
from alembic import op

from worker.ledger.tables import Moment

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
AT_ONCE = 1000
ENDED = "'published', 'duplicate', 'rejected', 'quarantined', 'imported'"
NOT_WAITING = f"'downloaded', 'extracted', 'pictured', 'archived', {ENDED}"
NOT_FURTHER = f"'discovered', {ENDED}"


def upgrade() -> None:
    op.add_column("articles", sa.Column("change", sa.JSON(), nullable=True))
    for name, others in (("waiting", NOT_WAITING), ("further", NOT_FURTHER)):
        those = sa.text(f"state NOT IN ({others})")
        by: list[str | sa.TextClause] = [sa.text("priority DESC"), "ready_at"]
        op.create_index(f"ix_articles_{name}", "articles", by, postgresql_where=those, sqlite_where=those)
    op.create_table(
        "spool",
        sa.Column("key", sa.String(length=100), nullable=False),
        sa.Column("article_pk", ID, nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=True),
        sa.ForeignKeyConstraint(["article_pk"], ["articles.id"], name=op.f("fk_spool_article_pk")),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_spool")),
    )
    op.create_index("ix_spool_article_pk", "spool", ["article_pk"])
    _note_spooled()
    op.create_table(
        "warcs",
        sa.Column("key", sa.String(length=512), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("planned_at", Moment(), nullable=False),
        sa.Column("lease_token", sa.String(length=36), nullable=True),
        sa.Column("lease_until", Moment(), nullable=True),
        sa.Column("kept_at", Moment(), nullable=True),
        sa.Column("cleaned_at", Moment(), nullable=True),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_warcs")),
    )
    op.create_table(
        "bundles",
        sa.Column("key", sa.String(length=512), nullable=False),
        sa.Column("article_pk", ID, nullable=True),
        sa.Column("kept_at", Moment(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("lines", sa.LargeBinary(), nullable=False),
        sa.Column("file", sa.String(length=512), nullable=True),
        sa.Column("position", sa.BigInteger(), nullable=True),
        sa.Column("problem", sa.String(length=32), nullable=True),
        sa.ForeignKeyConstraint(["article_pk"], ["articles.id"], name=op.f("fk_bundles_article_pk")),
        sa.ForeignKeyConstraint(["file"], ["warcs.key"], name=op.f("fk_bundles_file")),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_bundles")),
    )
    loose = sa.text("file IS NULL")
    op.create_index("ix_bundles_loose", "bundles", ["kept_at"], postgresql_where=loose, sqlite_where=loose)
    problem = sa.text("problem IS NOT NULL")
    op.create_index("ix_bundles_problem", "bundles", ["problem"], postgresql_where=problem, sqlite_where=problem)
    op.create_index("ix_bundles_file", "bundles", ["file"])
    op.create_index("ix_bundles_article_pk", "bundles", ["article_pk"])
    op.create_table(
        "reprocessings",
        sa.Column("id", ID, nullable=False),
        sa.Column("wanted", sa.Text(), nullable=False),
        sa.Column("started_at", Moment(), nullable=False),
        sa.Column("ended_at", Moment(), nullable=True),
        sa.Column("last_pk", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("tally", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reprocessings")),
    )


def _note_spooled() -> None:
    """Until now only the articles knew what lies in the store for them."""
    articles = sa.table(
        "articles",
        sa.column("id", sa.BigInteger()),
        sa.column("spooled", sa.Boolean()),
        sa.column("exchange", sa.JSON()),
        sa.column("picture", sa.JSON()),
    )
    spool = sa.table("spool", sa.column("key", sa.String()), sa.column("article_pk", sa.BigInteger()))
    spooled = sa.select(articles).where(articles.c.spooled).order_by(articles.c.id).limit(AT_ONCE)
    connection, last = op.get_bind(), 0
    while rows := connection.execute(spooled.where(articles.c.id > last)).all():
        notes = [{"key": key, "article_pk": row.id} for row in rows for key in _keys(row.exchange, row.picture)]
        if notes:
            connection.execute(spool.insert(), notes)
        last = rows[-1].id


def _keys(exchange: dict[str, Any] | None, picture: dict[str, Any] | None) -> set[str]:
    page, lead = exchange or {}, picture or {}
    return {key for key in (page.get("key"), lead.get("spool"), *page.get("superseded", ())) if key}


def downgrade() -> None:
    for table in ("reprocessings", "bundles", "warcs", "spool"):
        op.drop_table(table)
    for name in ("waiting", "further"):
        op.drop_index(f"ix_articles_{name}", "articles")
    op.drop_column("articles", "change")
