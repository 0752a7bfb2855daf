"""Fetching what an evidence file needs: the rows, the tree over the ledger, the checkpoints that cover them.

Reads database and archive; putting the file together is `evidence.py`, opening sealed values `disclosure.py`. One pass
over the leaves serves any number of events.
"""

from collections.abc import Sequence
from itertools import pairwise
from uuid import UUID

from audit_pipelines.db.database import Connection, Database
from audit_pipelines.db.queries import query
from audit_pipelines.errors import ValidationError
from audit_pipelines.ledger import chain
from audit_pipelines.ledger.archives import ArchiveFolder, archived_rows, archives_of, leaf_hashes
from audit_pipelines.ledger.checkpoint import single_signature
from audit_pipelines.ledger.disclosure import Discloser
from audit_pipelines.ledger.evidence import EvidenceEntry, LaterCheckpoint, build_evidence, sha256
from audit_pipelines.ledger.keys import VerifierKey
from audit_pipelines.ledger.merkle import Tree
from audit_pipelines.ledger.segment import Row


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
        DeletedArchiveError: when an event was deleted with its month.
        TamperedError: when the ledger itself does not prove what the file would say.
    """
    # The analysts' role: it sees the tenant alone and, unlike the server's, may read for as long as it takes.
    with database.tenant_connection(tenant_id, "audit_reader") as conn:
        conn.execute(query("ledger/lock_partitions"))
        folder = ArchiveFolder(database.archives_dir)
        rows = _rows(conn, folder, tenant_id, event_ids)
        key, notes = _covering(conn, rows, verifier_keys)
        deleted = [archive for archive in archives_of(conn, tenant_id) if archive.deleted_at]
        # A tree that ended among deleted rows cannot be built any more; later notes prove as much but for the date.
        notes = [note for note in notes if not any(one.first_seq < note[0] <= one.last_seq for one in deleted)] or notes
        (first, first_note), (last, _) = notes[0], notes[-1]
        stamps = conn.execute(query("ledger/select_time_stamps"), {"sizes": [size for size, _ in notes]}).fetchall()
        leaves, subtrees = leaf_hashes(
            conn,
            folder,
            tenant_id,
            last,
            seqs=[row.seq for row in rows],
            sizes=[size for size, _ in notes],
            verifier_keys=verifier_keys,
        )
    known = [(each.first, each.level, each.digest) for each in subtrees]
    tree = Tree.of(leaves[:first], known)
    entries = [
        EvidenceEntry(
            row.seq, row.recorded_at_us, row.entry, row.prev_hash, row.row_hash, tree.inclusion_proof(row.seq)
        )
        for row in rows
    ]
    later = [
        LaterCheckpoint(note, Tree.of(leaves[:size], known).consistency_proof(before))
        for (before, _), (size, note) in pairwise(notes)
    ]
    disclosures = discloser.disclose(tenant_id, [(row.seq, row.entry) for row in rows]) if discloser else []
    # A stamp over a note that other keys signed as well is over bytes that this file does not have.
    kept = {sha256(single_signature(note, key)) for _, note in notes}
    time_stamps = [token for (token,) in stamps if any(digest in token for digest in kept)]
    return build_evidence(
        tenant_id, entries, first_note, key, later=later, time_stamps=time_stamps, disclosures=disclosures
    )


def _rows(conn: Connection, folder: ArchiveFolder, tenant_id: UUID, event_ids: Sequence[str]) -> list[Row]:
    """Return the events' rows from database and archive, in order of seq."""
    found = conn.execute(query("ledger/select_events_by_id"), {"event_ids": list(event_ids)}, binary=True).fetchall()
    rows = [
        Row(seq, chain.microseconds(at), event_id, entry, chain.entry_hash(entry), prev_hash, row_hash)
        for seq, at, entry, prev_hash, row_hash, event_id in found
    ]
    missing = sorted(set(event_ids) - {row.event_id for row in rows})
    if missing:
        rows += archived_rows(conn, folder, tenant_id, missing)
        missing = sorted(set(missing) - {row.event_id for row in rows})
    if missing:
        raise ValidationError(f"tenant {tenant_id} has no event {', '.join(map(repr, missing))}")
    return sorted(rows)


def _covering(
    conn: Connection, rows: Sequence[Row], verifier_keys: Sequence[VerifierKey]
) -> tuple[VerifierKey, list[tuple[int, str]]]:
    """Return the first key that signed a checkpoint over all of `rows`, the oldest such checkpoint and its newest."""
    last_seq = rows[-1].seq
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
    late = ", ".join(repr(row.event_id) for row in rows if row.seq >= size)
    raise ValidationError(
        f"no checkpoint covers {late} yet (the newest covers {size} events); "
        "wait for the next one, or run `audit-pipelines checkpoint`"
    )
