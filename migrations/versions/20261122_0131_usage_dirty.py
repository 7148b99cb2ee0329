"""What was counted before there were hours and days has to be made into them, and into minutes by endpoint."""

from alembic import op

revision = "0131"
down_revision = "0130"
branch_labels = None
depends_on = None

_MARK = """
insert into usage_dirty (env_id, tier, at, number)
select env_id, tier, case tier when 'day' then date_trunc('day', hour, 'UTC') else hour end, 0
from (select distinct env_id, date_trunc('hour', minute) as hour from usage_minute) counted,
    unnest(array['minute', 'hour', 'day']) as tier
group by 1, 2, 3 on conflict do nothing
"""


def upgrade() -> None:
    """Mark hours and days as dirty, and, as `minute`, the hours whose minutes by endpoint are to be made."""
    op.execute(_MARK)


def downgrade() -> None:
    """Leave the marks: they do no harm."""
