"""A ledger whose clock was moved: `audit_append` itself runs, with the one change that its clock is another.

The function of the migrations is patched in the test's database, so events of a year ago go through the same numbering,
hashing and partitioning as any others. Nothing of it is in the product.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

import msgspec

from audit_pipelines.installation import Installation
from audit_pipelines.ledger.event import Event

_CLOCK = """
create table public.test_clock (moment timestamptz);
insert into public.test_clock values (null);
grant select on public.test_clock to public;
create function public.test_clock() returns timestamptz language sql volatile as
    $$ select coalesce(moment, clock_timestamp()) from public.test_clock $$;
do $$
declare
    v_text text := pg_get_functiondef('audit_append'::regproc);
begin
    if strpos(v_text, 'greatest(clock_timestamp(), ') = 0 then
        raise exception 'audit_append reads its clock in another way';
    end if;
    execute replace(v_text, 'greatest(clock_timestamp(), ', 'greatest(public.test_clock(), ');
end $$;
"""


class MovedClock:
    """The clock of one test's database."""

    def __init__(self, installation: Installation) -> None:
        self._installation = installation
        with installation.database.connect_admin() as conn:
            conn.execute(_CLOCK)

    def set(self, moment: datetime | None) -> None:
        """Stop the ledger's clock at a moment; None lets it be the machine's."""
        with self._installation.database.connect_admin() as conn:
            conn.execute("update public.test_clock set moment = %s", [moment])
            if moment:
                conn.execute("select audit_ensure_partitions(%s, 0)", [moment])

    def append(self, moment: datetime, tenant_id: UUID, events: Sequence[Event]) -> None:
        """Store events as if it were that moment, and as having happened then unless they say otherwise."""
        self.set(moment)
        dated = [event if event.occurred_at else msgspec.structs.replace(event, occurred_at=moment) for event in events]
        self._installation.ledger.append(tenant_id, dated)
        self.set(None)


def month(count: int, now: datetime | None = None) -> datetime:
    """Return the 10th of the month that began `count` months ago, at noon."""
    today = now or datetime.now(UTC)
    place = today.year * 12 + today.month - 1 - count
    return datetime(place // 12, place % 12 + 1, 10, 12, tzinfo=UTC)


def named(count: int) -> str:
    """Return what archives call the month that began `count` months ago."""
    return f"{month(count):%Y-%m}"
