"""Extraction: what sites' recent pages taught."""

import sqlalchemy as sa
from alembic import op

from worker.ledger.tables import Moment

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "sites",
        sa.Column("site", sa.String(length=255), nullable=False),
        sa.Column("memory", sa.LargeBinary(), nullable=False),
        sa.Column("learnt_at", Moment(), nullable=False),
        sa.PrimaryKeyConstraint("site", name=op.f("pk_sites")),
    )
    op.create_index("ix_sites_learnt_at", "sites", ["learnt_at"])


def downgrade() -> None:
    op.drop_table("sites")
