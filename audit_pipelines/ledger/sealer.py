"""Sealing a tenant's ledger: from the last checkpoint and the new rows to the next signed one.

Refuses to sign over a broken chain: every new row is hashed again and must continue the one the last checkpoint ended
in. The cost follows the new rows. What a note looks like and how it is signed, `checkpoint.py` says.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from audit_pipelines.db.database import Connection, Database
from audit_pipelines.db.queries import query
from audit_pipelines.errors import TamperedError
from audit_pipelines.ledger import chain
from audit_pipelines.ledger.checkpoint import Checkpoint, FileAnchor, open_note, sign
from audit_pipelines.ledger.keys import Signer, VerifierKey
from audit_pipelines.ledger.merkle import Frontier

_FETCH: Final = 5_000


def seal_checkpoint(
    database: Database,
    tenant_id: UUID,
    *,
    signer: Signer,
    verifier_keys: Sequence[VerifierKey],
    anchor: FileAnchor,
) -> Checkpoint | None:
    """Sign the tenant's ledger as it stands, store the checkpoint and publish it; None when nothing is new.

    The note is committed before it is published: a crash between the two leaves the anchor behind the database, which
    the next call mends, never ahead of it, which would look like tampering. None is signed while the one before is
    unpublished, so the anchor is never more than one checkpoint behind: verification takes a larger gap for a cut file.

    Raises:
        TamperedError: when the last checkpoint or a new row does not fit the chain, or the anchor has a checkpoint that
            the database lost; nothing is signed.
        OSError: when the anchor could not be written; the next call publishes what is missing before it signs more.
    """
    with database.connection("audit_pipeline") as conn:
        # Two sealers at once would both extend the same checkpoint; the second then finds nothing new.
        conn.execute("select pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"seal {tenant_id}"])
        last = conn.execute(query("ledger/select_last_checkpoint"), {"tenant_id": tenant_id}).fetchone()
        anchored = anchor.read(tenant_id).notes
        _refuse_a_fork(tenant_id, last, anchored, verifier_keys)
        checkpoint, frontier = _extend(conn, tenant_id, last, verifier_keys)
        if last and last[3] not in anchored:
            anchor.publish(last[3])
        note = sign(checkpoint, signer)
        is_new = checkpoint.size > (last[0] if last else 0)
        if is_new:
            row = {
                "tenant_id": tenant_id,
                "size": checkpoint.size,
                "root": checkpoint.root,
                "chain_head": checkpoint.chain_head,
                "frontier": frontier.to_bytes(),
                "note": note,
                "key_id": signer.verifier_key.key_hash.hex(),
                "sealed_at": checkpoint.sealed_at,
            }
            conn.execute(query("ledger/insert_checkpoint"), row)
    if not is_new:
        return None
    anchor.publish(note)
    return checkpoint


def _refuse_a_fork(tenant_id: UUID, last: Any, anchored: Sequence[str], verifier_keys: Sequence[VerifierKey]) -> None:
    """Refuse to grow a database that was rolled back: its next checkpoint would contradict one that is out already.

    The newest signed one decides, since each was proven consistent with those before it. What nobody signed is left
    to verification.
    """
    stored = last[0] if last else 0
    for note in reversed(anchored):
        if last and note == last[3]:
            return
        try:
            checkpoint = open_note(note, verifier_keys)
        except TamperedError:
            continue
        if checkpoint.tenant_id != tenant_id:
            continue
        if checkpoint.size >= stored:
            raise TamperedError(
                f"tenant {tenant_id}: the anchor has a checkpoint of size {checkpoint.size} that the database, whose "
                f"last one has size {stored}, does not; nothing was signed: run `audit-pipelines verify`"
            )
        return


def _extend(
    conn: Connection, tenant_id: UUID, last: Any, verifier_keys: Sequence[VerifierKey]
) -> tuple[Checkpoint, Frontier]:
    """Return the checkpoint over all rows, grown from the last one, and the tree's edge."""
    frontier, head = Frontier(), chain.genesis(tenant_id)
    if last is not None:
        size, root, head, note, edge = last
        opened = open_note(note, verifier_keys)
        frontier = Frontier.from_bytes(edge)
        if (opened.size, opened.root, opened.chain_head) != (size, root, head) or frontier.root() != root:
            raise TamperedError(
                f"tenant {tenant_id}: the stored checkpoint of size {size} differs from its signed note; "
                "nothing was signed: run `audit-pipelines verify`"
            )
    with conn.cursor(name="seal") as cursor:
        cursor.itersize = _FETCH
        cursor.execute(
            query("ledger/select_new_leaves"), {"tenant_id": tenant_id, "first_seq": frontier.size}, binary=True
        )
        while rows := cursor.fetchmany(_FETCH):
            leaves = []
            for expected_seq, (seq, recorded_at, entry, prev_hash, row_hash) in enumerate(rows, start=frontier.size):
                leaf = chain.leaf(tenant_id, seq, chain.microseconds(recorded_at), chain.entry_hash(entry))
                leaf_hash = chain.leaf_hash(leaf)
                if seq != expected_seq or prev_hash != head or chain.row_hash(head, leaf_hash) != row_hash:
                    raise TamperedError(
                        f"tenant {tenant_id}: the row at seq {seq} does not continue the chain (expected seq "
                        f"{expected_seq} after {head.hex()[:16]}…); nothing was signed: run `audit-pipelines verify`"
                    )
                leaves.append(leaf_hash)
                head = row_hash
            frontier = frontier.append(leaves)
    return Checkpoint(tenant_id, frontier.size, frontier.root(), head, datetime.now(UTC)), frontier
