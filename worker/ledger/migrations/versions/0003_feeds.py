"""Feeds: their hours, moves, lies and gaps, sitemaps, full texts, and what hubs push."""

from typing import Any

import sqlalchemy as sa
from alembic import op

from worker.ledger.tables import Moment

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
PAST_DOWNLOAD = "'downloaded', 'extracted', 'pictured', 'archived'"
ENDED = "'published', 'duplicate', 'rejected', 'quarantined', 'imported'"
NOT_WAITING = f"state NOT IN ({PAST_DOWNLOAD}, {ENDED})"
BY_PRIORITY = sa.text("priority DESC")


def upgrade() -> None:
    for column in (
        sa.Column("robots", sa.String(length=8), server_default="ignore", nullable=False),
        sa.Column("quiet_since", Moment(), nullable=True),
        sa.Column("quiet_polls", sa.Integer(), server_default="0", nullable=False),
        sa.Column("pattern", sa.JSON(), server_default="{}", nullable=False),
        sa.Column("moved", sa.JSON(), nullable=True),
        sa.Column("moved_from", sa.Text(), nullable=True),
        sa.Column("lies", sa.Integer(), server_default="0", nullable=False),
        sa.Column("lied_at", Moment(), nullable=True),
        sa.Column("gaps", sa.Integer(), server_default="0", nullable=False),
        sa.Column("gap_at", Moment(), nullable=True),
        sa.Column("hub_url", sa.Text(), nullable=True),
        sa.Column("topic_url", sa.Text(), nullable=True),
        sa.Column("pushed_at", Moment(), nullable=True),
        sa.Column("sitemaps", sa.JSON(), nullable=True),
        sa.Column("full_text", sa.JSON(), nullable=True),
    ):
        op.add_column("feeds", column)
    followed = sa.text("enabled AND removed_at IS NULL AND gone_at IS NULL")
    if op.get_bind().dialect.name == "sqlite":
        followed = sa.text("enabled = 1 AND removed_at IS NULL AND gone_at IS NULL")
    op.drop_index("ix_feeds_due_at", table_name="feeds")
    op.drop_index("ix_feeds_host_due_at", table_name="feeds")
    due: dict[str, Any] = {"postgresql_where": followed, "sqlite_where": followed}
    op.create_index("ix_feeds_due_at", "feeds", ["due_at", "id", "host"], **due)
    op.create_index("ix_feeds_line", "feeds", ["host", sa.text("priority DESC"), "due_at"], **due)
    op.add_column("polls", sa.Column("since", Moment(), nullable=True))
    op.add_column("polls", sa.Column("times", sa.Integer(), server_default="1", nullable=False))
    op.create_table(
        "leases",
        sa.Column("feed_id", ID, autoincrement=False, nullable=False),
        sa.Column("token", sa.String(length=36), nullable=False),
        sa.Column("until", Moment(), nullable=False),
        sa.PrimaryKeyConstraint("feed_id", name=op.f("pk_leases")),
    )
    op.drop_index("ix_feeds_lease_until", table_name="feeds")  # polls under way save nothing, and are made again
    op.drop_column("feeds", "lease_token")
    op.drop_column("feeds", "lease_until")
    _lines()
    op.create_table(
        "subscriptions",
        sa.Column("id", ID, nullable=False),
        sa.Column("feed_id", ID, nullable=False),
        sa.Column("public_url", sa.Text(), nullable=False),
        sa.Column("callback", sa.String(length=64), nullable=False),
        sa.Column("secret", sa.String(length=128), nullable=False),
        sa.Column("hub_url", sa.Text(), nullable=False),
        sa.Column("host", sa.String(length=255), nullable=False),
        sa.Column("topic_url", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("due_at", Moment(), nullable=False),
        sa.Column("lease_until", Moment(), nullable=True),
        sa.Column("asked_at", Moment(), nullable=True),
        sa.Column("verified_at", Moment(), nullable=True),
        sa.Column("expires_at", Moment(), nullable=True),
        sa.Column("failures", sa.Integer(), server_default="0", nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("pushes", sa.Integer(), server_default="0", nullable=False),
        sa.Column("ignored", sa.Integer(), server_default="0", nullable=False),
        sa.Column("missed", sa.Integer(), server_default="0", nullable=False),
        sa.ForeignKeyConstraint(["feed_id"], ["feeds.id"], name=op.f("fk_subscriptions_feed_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_subscriptions")),
        sa.UniqueConstraint("callback", name=op.f("uq_subscriptions_callback")),
    )
    op.create_index("ix_subscriptions_due_at", "subscriptions", ["due_at"])
    op.create_index(
        "ix_subscriptions_feed_id",
        "subscriptions",
        ["feed_id"],
        unique=True,
        postgresql_where=sa.text("state != 'leaving'"),
        sqlite_where=sa.text("state != 'leaving'"),
    )


def _lines() -> None:
    """Articles that wait have no turn yet: dispatch lines them up."""
    op.drop_index("ix_articles_line", table_name="articles")
    op.drop_index("ix_articles_waiting", table_name="articles")
    op.add_column("articles", sa.Column("turn_at", Moment(), nullable=True))
    line: list[str | sa.TextClause] = ["host", BY_PRIORITY, "turn_at", "id"]
    by: dict[str, tuple[str, list[str | sa.TextClause]]] = {
        "line": ("turn_at IS NOT NULL AND priority > -10000", line),
        "behind": ("turn_at IS NOT NULL AND priority <= -10000", line),
        "away": (f"{NOT_WAITING} AND turn_at IS NULL", ["ready_at"]),
    }
    for name, (which, columns) in by.items():
        those = sa.text(which)
        op.create_index(f"ix_articles_{name}", "articles", columns, postgresql_where=those, sqlite_where=those)


def downgrade() -> None:
    op.drop_table("subscriptions")
    for name in ("away", "behind", "line"):
        op.drop_index(f"ix_articles_{name}", table_name="articles")
    op.drop_column("articles", "turn_at")
    op.create_index("ix_articles_line", "articles", ["host", "state", BY_PRIORITY, "ready_at"])
    those = sa.text(NOT_WAITING)
    by: list[str | sa.TextClause] = [BY_PRIORITY, "ready_at"]
    op.create_index("ix_articles_waiting", "articles", by, postgresql_where=those, sqlite_where=those)
    op.add_column("feeds", sa.Column("lease_token", sa.String(length=36), nullable=True))
    op.add_column("feeds", sa.Column("lease_until", Moment(), nullable=True))
    leased = sa.text("lease_until IS NOT NULL")
    op.create_index("ix_feeds_lease_until", "feeds", ["lease_until"], postgresql_where=leased, sqlite_where=leased)
    op.drop_table("leases")
    op.drop_column("polls", "times")
    op.drop_column("polls", "since")
    op.drop_index("ix_feeds_line", table_name="feeds")
    op.drop_index("ix_feeds_due_at", table_name="feeds")
    op.create_index("ix_feeds_due_at", "feeds", ["due_at"])
    op.create_index("ix_feeds_host_due_at", "feeds", ["host", "due_at"])
    for name in (
        "full_text",
        "sitemaps",
        "pushed_at",
        "topic_url",
        "hub_url",
        "gap_at",
        "gaps",
        "lied_at",
        "lies",
        "moved_from",
        "moved",
        "pattern",
        "quiet_polls",
        "quiet_since",
        "robots",
    ):
        op.drop_column("feeds", name)
