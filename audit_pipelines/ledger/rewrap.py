"""Changing the master key: the same keys of persons, wrapped in another one. No row of the ledger is read or changed.

Can be interrupted anywhere and repeated: each row says in which key it is wrapped. Where master keys come from and what
becomes of the old one, `encryption_rotation.py` says.
"""

from collections.abc import Callable
from typing import Final
from uuid import UUID

from audit_pipelines.db.database import Database
from audit_pipelines.db.queries import query
from audit_pipelines.errors import AuditError
from audit_pipelines.ledger.master_keys import MasterKeys

BATCH: Final = 1_000
_FIRST: Final = UUID(int=0)


def rewrap(database: Database, keys: MasterKeys, on_rows: Callable[[int], object] | None = None) -> int:
    """Wrap every key of a person in `keys.present` and return how many were wrapped in another key before.

    When it returns, nothing is wrapped in any other key and nothing will be: from its start on the database refuses new
    keys in old wrapping. One transaction per `BATCH` keys; what others open or erase meanwhile stays right.

    Raises:
        ConfigurationError: when some are wrapped in a key that is not among `keys`; nothing was changed.
        TamperedError: when one does not open with the key it names; those before it are done.
    """
    with database.connection("audit_custodian") as conn:
        for (key_id,) in conn.execute(query("ledger/select_wrapping_keys")).fetchall():
            keys.require(key_id)
        conn.execute(query("ledger/use_master_key"), {"master_key_id": keys.present})
    done = 0
    place = (_FIRST, _FIRST)
    while True:
        with database.connection("audit_custodian") as conn:
            rows = conn.execute(
                query("ledger/select_former_wrappings"),
                {"master_key_id": keys.present, "tenant_id": place[0], "actor_ref": place[1], "limit": BATCH},
            ).fetchall()
            if not rows:
                break
            arguments = {
                "tenant_ids": [row[0] for row in rows],
                "refs": [row[1] for row in rows],
                "former": [row[2] for row in rows],
                "wrapped": [keys.wrap(keys.unwrap(row[2], row[3]), keys.present) for row in rows],
                "master_key_id": keys.present,
            }
            (count,) = conn.execute(query("ledger/rewrap_subjects"), arguments).fetchone() or (0,)
        place = rows[-1][:2]
        done += count
        if on_rows:
            on_rows(count)
    with database.connection("audit_custodian") as conn:
        left = {key_id for (key_id,) in conn.execute(query("ledger/select_wrapping_keys"))} - {keys.present}
    if left:
        raise AuditError(
            f"expected every key to be wrapped in {keys.present}, some still are in {', '.join(sorted(left))}; "
            "another rotation may be going on: repeat this one. No key was destroyed"
        )
    return done
