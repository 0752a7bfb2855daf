"""Fetching what an evidence file needs: the rows, the tree over the ledger, the newest checkpoint.

Reads the database; putting the file together is `evidence.py`. One pass over the leaves of the checkpoint serves any
number of events.
"""

from collections.abc import Sequence
from uuid import UUID

from audit_pipelines.db.database import Database
from audit_pipelines.db.queries import query
from audit_pipelines.errors import ValidationError
from audit_pipelines.ledger import chain
from audit_pipelines.ledger.evidence import EvidenceEntry, build_evidence
from audit_pipelines.ledger.keys import VerifierKey
from audit_pipelines.ledger.merkle import Tree


def evidence_for(database: Database, tenant_id: UUID, event_ids: Sequence[str], verifier_key: VerifierKey) -> bytes:
    """Return one evidence file that proves the given events, under the tenant's newest checkpoint.

    Raises:
        ValidationError: when an event is unknown or no checkpoint covers it yet.
        TamperedError: when the ledger itself does not prove what the file would say.
    """
    with database.tenant_connection(tenant_id) as conn:
        rows = conn.execute(query("ledger/select_events_by_id"), {"event_ids": list(event_ids)}, binary=True).fetchall()
        if missing := sorted(set(event_ids) - {row[5] for row in rows}):
            raise ValidationError(f"tenant {tenant_id} has no event {', '.join(map(repr, missing))}")
        newest = conn.execute(query("ledger/select_newest_note")).fetchone()
        size, note = newest or (0, "")
        if late := [row[5] for row in rows if row[0] >= size]:
            raise ValidationError(
                f"no checkpoint covers {', '.join(map(repr, late))} yet (the newest covers {size} events); "
                "wait for the next one, or run `audit-pipelines checkpoint`"
            )
        leaves = conn.execute(query("ledger/select_leaves"), {"size": size}, binary=True)
        tree = Tree.of(
            chain.leaf_hash(chain.leaf(tenant_id, seq, chain.microseconds(recorded_at), entry_hash))
            for seq, recorded_at, entry_hash in leaves
        )
    entries = [
        EvidenceEntry(seq, chain.microseconds(recorded_at), entry, prev_hash, row_hash, tree.inclusion_proof(seq))
        for seq, recorded_at, entry, prev_hash, row_hash, _ in rows
    ]
    return build_evidence(tenant_id, entries, note, verifier_key)
