"""Evidence: one JSON file with which a stranger can check events of the ledger offline.

Belongs here: putting the file together from what the ledger hands over. What makes it convincing, and its format, is
`verify_evidence.py`, a program of its own that shares no code with the product; this module only writes what that one
accepts, and asks it before handing anything out.
"""

import base64
import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import resources
from uuid import UUID

from cryptography.x509 import Certificate

from audit_pipelines.errors import TamperedError, ValidationError
from audit_pipelines.ledger import verify_evidence
from audit_pipelines.ledger.checkpoint import single_signature
from audit_pipelines.ledger.keys import VerifierKey
from audit_pipelines.ledger.time_stamp import verify_token

VERIFIER_FILE = "verify_evidence.py"


@dataclass(frozen=True, slots=True)
class EvidenceEntry:
    """One row of the ledger as stored, and its inclusion proof in the tree of the evidence's checkpoint."""

    seq: int
    recorded_at_us: int
    entry: bytes
    prev_hash: bytes
    row_hash: bytes
    inclusion_proof: Sequence[bytes]


@dataclass(frozen=True, slots=True)
class LaterCheckpoint:
    """A later checkpoint's note and the consistency proof from the checkpoint before it."""

    note: str
    consistency_proof: Sequence[bytes]


@dataclass(frozen=True, slots=True)
class Disclosure:
    """The opening of one sealed value: `pointer` (RFC 6901) into the entry of `seq`, its salt and what was sealed.

    `pointer` leads to the sealed text itself (`/ip_address`) or to the object around it (`/details/userName`).
    """

    seq: int
    pointer: str
    salt: bytes
    plaintext: str


def build_evidence(
    tenant_id: UUID,
    entries: Iterable[EvidenceEntry],
    checkpoint: str,
    verifier_key: VerifierKey,
    *,
    later: Sequence[LaterCheckpoint] = (),
    time_stamps: Iterable[bytes] = (),
    disclosures: Iterable[Disclosure] = (),
) -> bytes:
    """Return the evidence file for `entries` under the signed note `checkpoint`, as UTF-8 bytes.

    `time_stamps` are RFC 3161 tokens over notes of this file. Signature lines of other keys are left out of the notes,
    because the verifier could not check them. Raises `TamperedError` if the ledger's own data does not prove what the
    file would say, so no false evidence leaves.
    """
    source = verifier_source()
    document = verify_evidence.to_bytes(
        {
            "format": verify_evidence.FORMAT,
            "note": verify_evidence.NOTE,
            "tenant_id": str(tenant_id),
            "verifier_key": str(verifier_key),
            "checkpoint": single_signature(checkpoint, verifier_key),
            "later": [
                {
                    "checkpoint": single_signature(item.note, verifier_key),
                    "consistency_proof": [node.hex() for node in item.consistency_proof],
                }
                for item in later
            ],
            "entries": [
                {
                    "seq": item.seq,
                    "recorded_at_us": item.recorded_at_us,
                    "entry": base64.b64encode(item.entry).decode(),
                    "prev_hash": item.prev_hash.hex(),
                    "row_hash": item.row_hash.hex(),
                    "inclusion_proof": [node.hex() for node in item.inclusion_proof],
                }
                for item in sorted(entries, key=lambda item: item.seq)
            ],
            "time_stamps": [
                {"sha256": hashlib.sha256(token).hexdigest(), "token": base64.b64encode(token).decode()}
                for token in time_stamps
            ],
            "disclosures": [
                {"seq": item.seq, "pointer": item.pointer, "salt": item.salt.hex(), "plaintext": item.plaintext}
                for item in sorted(disclosures, key=lambda item: (item.seq, item.pointer))
            ],
            "verifier": {"sha256": hashlib.sha256(source.encode()).hexdigest(), "source": source},
        }
    )
    check_evidence(document, str(verifier_key))
    return document


def check_evidence(document: bytes, key: str | None = None) -> list[str]:
    """Check an evidence file; return what was proven and what was not, line by line.

    `key` is the verifier key (`name+hash+base64`) got from elsewhere than the file. Raises `TamperedError` if anything
    does not match, `ValidationError` if the file or the key cannot be understood and so nothing was checked.
    """
    try:
        return verify_evidence.verify(document, key)
    except verify_evidence.RefusedError as error:
        raise TamperedError(f"evidence: {error}; rely on nothing in this file") from error
    except (ValueError, RecursionError) as error:
        raise ValidationError(f"evidence could not be checked: {error}") from error


def check_time_stamps(document: bytes, trusted: Sequence[Certificate]) -> list[str]:
    """Check the time-stamps in evidence that `check_evidence` accepted; return what each proves, line by line.

    Raises `TamperedError` if there is none, or one is signed by nobody trusted or about nothing in the file.
    """
    file = json.loads(document)
    notes = {sha256(note): note for note in (file["checkpoint"], *(item["checkpoint"] for item in file["later"]))}
    proven = []
    for item in file["time_stamps"]:
        token = base64.b64decode(item["token"])
        note = next((note for digest, note in notes.items() if digest in token), file["checkpoint"])
        stamp = verify_token(token, note, trusted)
        proven.append(
            f"{stamp.authority} says that the checkpoint of {note.splitlines()[1]} events existed at "
            f"{stamp.moment.isoformat()}."
        )
    if not proven:
        raise TamperedError("evidence: expected a time-stamp to check, got a file without one")
    return proven


def sha256(note: str) -> bytes:
    """Return the digest that a time-stamp of a note is over."""
    return hashlib.sha256(note.encode()).digest()


def signed_by(document: bytes) -> str:
    """Return the verifier key in evidence that `build_evidence` made; in a file from elsewhere it proves nothing."""
    return str(json.loads(document)["verifier_key"])


def verifier_source() -> str:
    """Return the text of the stand-alone verifier, to be published where strangers can get it."""
    return resources.files("audit_pipelines.ledger").joinpath(VERIFIER_FILE).read_text(encoding="utf-8")
