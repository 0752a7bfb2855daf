"""Fetching what an evidence file needs: the rows, the tree over the ledger, the checkpoints that cover them.

Reads the database; putting the file together is `evidence.py`, opening sealed values `disclosure.py`. One pass over the
leaves serves any number of events.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any
from uuid import UUID

from audit_pipelines.db.database import Connection, Database
from audit_pipelines.db.queries import query
from audit_pipelines.errors import ValidationError
from audit_pipelines.ledger import chain
from audit_pipelines.ledger.checkpoint import single_signature
from audit_pipelines.ledger.disclosure import Discloser
from audit_pipelines.ledger.evidence import EvidenceEntry, LaterCheckpoint, build_evidence, sha256
from audit_pipelines.ledger.keys import VerifierKey
from audit_pipelines.ledger.merkle import Tree


def evidence_for(
    database: Database,
    tenant_id: UUID,
    event_ids: Sequence[str],
    *verifier_keys: VerifierKey,
    discloser: Discloser | None = None,
) -> bytes:
    """Return one evidence file that proves the given events, under the oldest checkpoint that covers them all.

    The oldest says most about when they were there; the newest goes with it as `later`, proven to begin with the same
    events, and so does the oldest with a time-stamp. All are signed by the first of `verifier_keys` with a checkpoint
    that covers the events: one file is checked with one key.

    Raises:
        ValidationError: when an event is unknown, no checkpoint covers it yet, or `discloser` cannot open a value.
        TamperedError: when the ledger itself does not prove what the file would say.
    """
    # The analysts' role: it sees the tenant alone and, unlike the server's, may read for as long as it takes.
    with database.tenant_connection(tenant_id, "audit_reader") as conn:
        rows = conn.execute(query("ledger/select_events_by_id"), {"event_ids": list(event_ids)}, binary=True).fetchall()
        if missing := sorted(set(event_ids) - {row[5] for row in rows}):
            raise ValidationError(f"tenant {tenant_id} has no event {', '.join(map(repr, missing))}")
        key, notes = _covering(conn, rows, verifier_keys)
        (first, first_note), (last, _) = notes[0], notes[-1]
        stamps = conn.execute(query("ledger/select_time_stamps"), {"sizes": [size for size, _ in notes]}).fetchall()
        leaves = [
            chain.leaf_hash(chain.leaf(tenant_id, seq, chain.microseconds(recorded_at), entry_hash))
            for seq, recorded_at, entry_hash in conn.execute(query("ledger/select_leaves"), {"size": last}, binary=True)
        ]
    tree = Tree.of(leaves[:first])
    entries = [
        EvidenceEntry(seq, chain.microseconds(recorded_at), entry, prev_hash, row_hash, tree.inclusion_proof(seq))
        for seq, recorded_at, entry, prev_hash, row_hash, _ in rows
    ]
    later = [
        LaterCheckpoint(note, Tree.of(leaves[:size]).consistency_proof(before))
        for (before, _), (size, note) in pairwise(notes)
    ]
    disclosures = discloser.disclose(tenant_id, [(row[0], row[2]) for row in rows]) if discloser else []
    # A stamp over a note that other keys signed as well is over bytes that this file does not have.
    kept = {sha256(single_signature(note, key)) for _, note in notes}
    time_stamps = [token for (token,) in stamps if any(digest in token for digest in kept)]
    return build_evidence(
        tenant_id, entries, first_note, key, later=later, time_stamps=time_stamps, disclosures=disclosures
    )


def _covering(
    conn: Connection, rows: Sequence[Any], verifier_keys: Sequence[VerifierKey]
) -> tuple[VerifierKey, list[tuple[int, str]]]:
    """Return the first key that signed a checkpoint over all of `rows`, the oldest such checkpoint and its newest."""
    last_seq = rows[-1][0]
    for key in verifier_keys:
        wanted = {"key_id": key.key_hash.hex(), "seq": last_seq}
        if notes := conn.execute(query("ledger/select_covering_notes"), wanted).fetchall():
            return key, notes
    newest = conn.execute(query("ledger/select_newest_note")).fetchone()
    size = newest[0] if newest else 0
    if size > last_seq:
        raise ValidationError(
            f"the checkpoint over the first {size} events is by none of the {len(verifier_keys)} known keys; "
            "name the key that signed it in AUDIT_FORMER_VERIFIER_KEYS"
        )
    late = ", ".join(repr(row[5]) for row in rows if row[0] >= size)
    raise ValidationError(
        f"no checkpoint covers {late} yet (the newest covers {size} events); "
        "wait for the next one, or run `audit-pipelines checkpoint`"
    )
