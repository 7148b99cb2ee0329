"""Remember the sums of all endpoints together as well: what is remembered without them is made anew by the job."""

from alembic import op

revision = "0210"
down_revision = "0201"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Forget what is remembered; pages read the tiers until it is made again."""
    op.execute("update usage_remembered set fresh = false where fresh")


def downgrade() -> None:
    """Take the sums of everything away: they would be counted twice."""
    op.execute("delete from usage_sum where endpoint_id = 0")
