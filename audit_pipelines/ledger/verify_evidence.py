"""Check an evidence file of an audit_pipelines ledger, offline, with nothing but Python's standard library (3.9 on).

Usage: python3 -I -S verify_evidence.py FILE [--key VERIFIER_KEY]
Exit status: 0 all that was checked matches, 1 something does not match, 2 the file or the key could not be read.
It shares no code with the product on purpose: a fault there cannot vouch for itself here. The format is described in
docs/ledger_format.md. Get this program, and the key, from somewhere else than the evidence file.
"""

from __future__ import annotations  # the Python of whoever checks may be older than the product's

import argparse
import base64
import hashlib
import json
import re
import sys
import time
from itertools import takewhile
from pathlib import Path
from typing import Any

FORMAT = "audit_pipelines evidence v1"
NOTE = (
    "This file proves that the events in it stand in an append-only ledger. To check it, with nothing but Python: "
    "python3 -I -S verify_evidence.py FILE --key VERIFIER_KEY. A copy of that program is in here for convenience, but "
    "whoever can forge this file can forge that copy and the key as well: prefer those you got from elsewhere."
)
# The shape of the whole file. Patterns allow one spelling of each value only, so that any changed letter shows.
_HASH, _TEXT, _64 = "[0-9a-f]{64}", "(?s).*", "[A-Za-z0-9+/]"
_POINTER, _UUID = "(?:/(?:[^~/]|~[01])*)+", "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_KEY = rf"([!-*,-~]+)\+([0-9a-f]{{8}})\+(A[Q-Za-f]{_64}{{42}})"
_BASE64 = f"(?:{_64}{{4}})*(?:{_64}{{2}}[AEIMQUYcgkosw048]=|{_64}[AQgw]==)?"
_ROOT = f"({_64}{{42}}[AEIMQUYcgkosw048]=)"
_TIME = r"([0-9]{4}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-5][0-9]\.[0-9]{6}Z)"
_TREE_HEAD = rf"(audit_pipelines/({_UUID})\n(0|[1-9][0-9]{{0,17}})\n{_ROOT}\nchain {_ROOT}\ntime {_TIME}\n)"
_CHECKPOINT = rf"{_TREE_HEAD}\n\u2014 ([!-*,-~]+) ({_BASE64})\n"
_IMPRINT = rb"(?s)0[/1]0[\x0b\r]\x06\x09\x60\x86H\x01e\x03\x04\x02\x01(?:\x05\x00)?\x04\x20(.{32})"  # SHA-256, RFC 3161
_ENTRY = {"seq": 10**18, "recorded_at_us": 253_402_300_800 * 10**6, "entry": _BASE64, "prev_hash": _HASH}
_SHAPE = {
    "format": re.escape(FORMAT),
    "note": re.escape(NOTE),
    "tenant_id": _UUID,
    "verifier_key": _KEY,
    "checkpoint": _CHECKPOINT,
    "later": [{"checkpoint": _CHECKPOINT, "consistency_proof": [_HASH]}],
    "entries": [{**_ENTRY, "row_hash": _HASH, "inclusion_proof": [_HASH]}],
    "time_stamps": [{"sha256": _HASH, "token": _BASE64}],
    "disclosures": [{"seq": 10**18, "pointer": _POINTER, "salt": "[0-9a-f]{32}", "plaintext": _TEXT}],
    "verifier": {"sha256": _HASH, "source": _TEXT},
}


class RefusedError(Exception):
    """Something in the evidence does not match; nothing in it should be relied upon."""


def verify(document: bytes, key: str | None = None) -> list[str]:
    """Check a whole evidence file and return, in plain language, what was proven and what was not.

    Raises `RefusedError` at the first mismatch; `ValueError` or `RecursionError` if this is not evidence or no key.
    """
    if key is not None and not re.fullmatch(_KEY, key):
        raise ValueError(f"expected a verifier key NAME+HASH+BASE64, got {key!a}")
    file = _load(document)
    _equal(file["verifier_key"] if key is None else key, file["verifier_key"], "verifier_key, against the key given")
    tenant = bytes.fromhex(file["tenant_id"].replace("-", ""))
    opened = [_open(item["checkpoint"], file) for item in (file, *file["later"])]
    first, latest = opened[0], opened[-1]
    for place, later in enumerate(file["later"]):
        _check_consistency(opened[place], opened[place + 1], later["consistency_proof"])
    rows = _rows(file["entries"], first, tenant)
    chained = _chained(rows, first, tenant)
    stamped = []
    for token, digest in ((base64.b64decode(stamp["token"]), stamp["sha256"]) for stamp in file["time_stamps"]):
        _equal(hashlib.sha256(token).hexdigest(), digest, "time_stamps: sha256, against a damaged token")
        sizes = [item["size"] for item in opened if item["digest"] in re.findall(_IMPRINT, token)]
        _require(len(sizes) == 1, "time_stamps: expected the imprint of one checkpoint of this file")
        stamped.append(f"a time-stamp token names the checkpoint of {sizes[0]} events by its SHA-256.")
    disclosed = [_disclosed(item, rows) for item in file["disclosures"]]
    proven = [
        f"key {file['verifier_key']} signed a checkpoint; the key is {'yours' if key else 'in this file'}.",
        f"the checkpoint covers {first['size']} events of tenant {file['tenant_id']}, at {first['time']} by its clock.",
        f"these {len(rows)} events are in that ledger, byte for byte, in these places, with these times of record:",
        *(f"  {row['shown']}" for row in rows.values()),
        *(f"row_hash of seq {seq}: it follows from an end of the chain that is known." for seq in sorted(chained)),
        *(disclosed + stamped),
    ]
    if latest is not first:
        proven.append(f"the {latest['size']} events of the checkpoint at {latest['time']} begin with the same events.")
    unproven = {
        "whose key this is: anybody can make such a file with a key of their own. Get the key from elsewhere.": not key,
        "who made a time-stamp, or when: its signature was not checked; the product can, with a certificate.": stamped,
        "that sealed text decrypts to the value shown: the value is the one committed to.": disclosed,
        **{f"row_hash of seq {seq}: nothing here ties it to the chain.": True for seq in sorted(rows.keys() - chained)},
        f"anything about events after the first {latest['size']}, or that no event outside this file matters.": True,
        "that clocks were right, or that what was reported to the ledger is what happened.": True,
        "that others were shown the same ledger: compare the checkpoint with a copy published elsewhere.": True,
        "anything by the program inside this file: its digest matches, but it was neither run nor trusted.": True,
    }
    return [f"Proven: {line}" for line in proven] + [f"Not proven: {line}" for line, use in unproven.items() if use]


def to_bytes(evidence: dict[str, Any]) -> bytes:
    """Return the one accepted spelling of a document; with a single spelling, no byte can change unnoticed."""
    return (json.dumps(evidence, ensure_ascii=False, allow_nan=False, sort_keys=True, indent=1) + "\n").encode()


def _load(document: bytes) -> dict[str, Any]:
    file = json.loads(document.decode())
    spelled = to_bytes(file)
    if not isinstance(file, dict) or file.get("format") != FORMAT:
        raise ValueError(f"the file is not {FORMAT!r}; another format needs another version of this program")
    _check_shape(file, _SHAPE, "")
    _require(spelled == document, "the file was changed: spaces, order or escapes are not those of evidence as written")
    _equal(
        hashlib.sha256(file["verifier"]["source"].encode()).hexdigest(), file["verifier"]["sha256"], "verifier.sha256"
    )
    return file


def _check_shape(value: Any, shape: Any, where: str) -> None:
    matches = type(value) is type(shape) and (not isinstance(shape, dict) or value.keys() == shape.keys())
    _require(matches, f"{where or 'the file'}: expected {type(shape).__name__} as in the format and nothing else")
    if isinstance(shape, (dict, list)):
        for name, inner in shape.items() if isinstance(shape, dict) else enumerate(shape * len(value)):
            _check_shape(value[name], inner, f"{where}/{name}")
    else:
        matches = 0 <= value < shape if isinstance(shape, int) else bool(re.fullmatch(shape, value))
        _require(matches, f"{where}: the value has not the form or size that evidence has there")


def _open(note: str, file: dict[str, Any]) -> dict[str, Any]:
    """Open a checkpoint in a signed note: https://c2sp.org/signed-note and https://c2sp.org/tlog-checkpoint."""
    name, digest, encoded = re.findall(_KEY, file["verifier_key"])[0]
    key = base64.b64decode(encoded)
    _equal(hashlib.sha256(name.encode() + b"\n" + key).hexdigest()[:8], digest, "verifier_key's own hash")
    text, tenant, size, root, head, moment, signer, encoded = re.findall(_CHECKPOINT, note)[0]
    signature, where = base64.b64decode(encoded), f"checkpoint of {size} events"
    _equal(file["tenant_id"], tenant, f"{where}: tenant")
    _equal(f"{name}+{digest}", f"{signer}+{signature[:4].hex()}", f"{where}: signer")
    _require(ed25519_verify(key[1:], signature[4:], text.encode()), f"{where}: its text and its signature do not fit")
    seen = {"size": int(size), "time": moment, "digest": hashlib.sha256(note.encode()).digest()}
    return {**seen, "root": base64.b64decode(root), "head": base64.b64decode(head).hex()}


def _rows(entries: list[dict[str, Any]], checkpoint: dict[str, Any], tenant: bytes) -> dict[int, dict[str, Any]]:
    """Check each entry against the checkpoint's root and its row hash; return them by seq, with the parsed event."""
    rows: dict[int, dict[str, Any]] = {}
    for item in entries:
        seq, microseconds, entry = item["seq"], item["recorded_at_us"], base64.b64decode(item["entry"])
        where, proof = f"event with seq {seq}", [bytes.fromhex(node) for node in item["inclusion_proof"]]
        _require(next(reversed(rows), -1) < seq < checkpoint["size"], f"{where}: not in order or after the checkpoint")
        leaf = tenant + seq.to_bytes(8, "big") + microseconds.to_bytes(8, "big") + hashlib.sha256(entry).digest()
        leaf_hash = hashlib.sha256(b"\x00" + leaf).digest()
        try:
            root = _roots(seq + 1, checkpoint["size"], [leaf_hash, *proof], smallest=1)[1]
            _equal(checkpoint["root"].hex(), root.hex(), f"{where}: root reached from its content")
            event = json.loads(entry.decode(), object_pairs_hook=_object)
            _equal(1, event["v"], f"{where}: ledger format")
        except (ValueError, LookupError, TypeError, RecursionError) as error:
            raise RefusedError(f"{where}: expected an entry of ledger format 1: {error!r:.200}") from None
        row_hash = hashlib.sha256(b"\x02" + bytes.fromhex(item["prev_hash"]) + leaf_hash).hexdigest()
        _equal(row_hash, item["row_hash"], f"{where}: row_hash")
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(microseconds // 10**6))
        what = json.dumps({name: event.get(name) for name in ("event_id", "event_type", "entity_type", "entity_id")})
        rows[seq] = {**item, "event": event, "shown": f"seq {seq} at {moment}.{microseconds % 10**6:06d}Z: {what}"}
    _require(bool(rows), "/entries: expected at least one event")
    return rows


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    _require(len(dict(pairs)) == len(pairs), "an entry has a name twice in one object, and readers may differ about it")
    return dict(pairs)


def _chained(rows: dict[int, dict[str, Any]], checkpoint: dict[str, Any], tenant: bytes) -> set[int]:
    """Check each link at hand; return the seqs tied without a gap to the chain's first hash or its signed head."""
    genesis = hashlib.sha256(b"audit_pipelines/v1" + tenant).hexdigest()
    for seq, row in rows.items():
        before = rows[seq - 1]["row_hash"] if seq - 1 in rows else row["prev_hash"] if seq else genesis
        _equal(before, row["prev_hash"], f"prev_hash of seq {seq}, against the row before")
        head = checkpoint["head"] if seq == checkpoint["size"] - 1 else row["row_hash"]
        _equal(head, row["row_hash"], f"row_hash of seq {seq}, against the checkpoint's chain head")
    seqs = range(checkpoint["size"])
    return {*takewhile(rows.__contains__, seqs), *takewhile(rows.__contains__, reversed(seqs))}


def _disclosed(item: dict[str, Any], rows: dict[int, dict[str, Any]]) -> str:
    seq, pointer, where = item["seq"], item["pointer"], f"disclosure of seq {item['seq']} {item['pointer']!a}"
    try:
        sealed: Any = rows[seq]["event"]
        for token in pointer.split("/")[1:]:  # RFC 6901
            names = {str(place): item for place, item in enumerate(sealed)} if isinstance(sealed, list) else sealed
            sealed = names[token.replace("~1", "/").replace("~0", "~")]
        sealed = sealed["$sealed"] if isinstance(sealed, dict) else sealed
        commitment = re.findall(r"\Av1\.[A-Za-z0-9_-]+\.([A-Za-z0-9_-]{43})\Z", sealed)[0]
    except (LookupError, TypeError, ValueError):
        raise RefusedError(f"{where}: there is no sealed text in that place of these events") from None
    digest = hashlib.sha256(b"\x03" + bytes.fromhex(item["salt"]) + item["plaintext"].encode()).digest()
    _equal(base64.urlsafe_b64encode(digest).decode()[:43], commitment, f"{where}: commitment")
    return f"{pointer!a} of seq {seq} was sealed over the value {json.dumps(item['plaintext'])}."


def _roots(first: int, size: int, proof: list[bytes], smallest: int) -> tuple[bytes, bytes]:
    """Return the roots of the first `first` and of all `size` leaves that a proof leads to: RFC 6962, 2.1, backwards.
    Its first node covers one leaf (inclusion: `smallest` 1) or the earlier tree's last subtree (its size)."""
    _require(bool(proof), "a proof has too few hashes")
    if first == size <= smallest:
        _require(len(proof) == 1, "a proof has too many hashes")
        return proof[0], proof[0]
    split = 1 << (size - 1).bit_length() - 1
    *below, sibling = proof
    if first <= split:
        old, new = _roots(first, split, below, smallest)
        return old, hashlib.sha256(b"\x01" + new + sibling).digest()
    old, new = (b"\x01" + sibling + root for root in _roots(first - split, size - split, below, smallest))
    return hashlib.sha256(old).digest(), hashlib.sha256(new).digest()


def _check_consistency(first: dict[str, Any], later: dict[str, Any], proof: list[str]) -> None:
    where = f"consistency of {first['size']} with {later['size']} events"
    _require(0 < first["size"] < later["size"], f"{where}: expected the later one to be larger")
    # Where the earlier tree is a whole subtree of the later one, the proof leaves its root out.
    known = [first["root"]] if first["size"] & (first["size"] - 1) == 0 else []
    known += [bytes.fromhex(node) for node in proof]
    old, new = _roots(first["size"], later["size"], known, smallest=first["size"])
    _equal((first["root"].hex(), later["root"].hex()), (old.hex(), new.hex()), f"{where}: roots")


def _require(condition: bool, complaint: str) -> None:
    if not condition:
        raise RefusedError(complaint)


def _equal(expected: Any, got: Any, where: str) -> None:
    _require(expected == got, f"{where}: expected {expected}, got {got}")


# Ed25519 verification: RFC 8032 section 5.1.7, points (x, y, z, t) in extended coordinates, section 5.1.4.
P, ORDER = 2**255 - 19, 2**252 + 27742317777372353535851937790883648493
_D = -121665 * pow(121666, P - 2, P) % P


def ed25519_verify(public_key: bytes, signature: bytes, message: bytes) -> bool:
    """Return whether the signature is right; strict: no second spelling of a point or scalar, no key of small order."""
    key, scalar = _decode(public_key), int.from_bytes(signature[32:], "little")
    if not key or len(signature) != 64 or scalar >= ORDER or _encode(_times(8, key)) == b"\x01" + bytes(31):
        return False
    challenge = int.from_bytes(hashlib.sha512(signature[:32] + public_key + message).digest(), "little") % ORDER
    base, minus_key = _decode(b"\x58" + b"\x66" * 31), (P - key[0], key[1], 1, P - key[3])
    return _encode(_add(_times(scalar, base), _times(challenge, minus_key))) == signature[:32]


def _add(p: tuple[int, ...], q: tuple[int, ...]) -> tuple[int, ...]:
    a, b = (p[1] - p[0]) * (q[1] - q[0]) % P, (p[1] + p[0]) * (q[1] + q[0]) % P
    c, d = 2 * p[3] * q[3] * _D % P, 2 * p[2] * q[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % P, g * h % P, f * g % P, e * h % P


def _times(scalar: int, point: tuple[int, ...]) -> tuple[int, ...]:
    rest = _times(scalar >> 1, _add(point, point)) if scalar else (0, 1, 1, 0)
    return _add(rest, point) if scalar & 1 else rest


def _decode(encoded: bytes) -> tuple[int, ...]:
    """Return the point, or nothing if these are not the 32 bytes of one."""
    number = int.from_bytes(encoded, "little")
    sign, y = number >> 255, number & ((1 << 255) - 1)
    square = (y * y - 1) * pow(_D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    x = x if (x * x - square) % P == 0 else x * pow(2, (P - 1) // 4, P) % P
    if len(encoded) != 32 or y >= P or (x * x - square) % P or (x == 0 and sign):
        return ()
    x = x if x & 1 == sign else P - x
    return x, y, 1, x * y % P


def _encode(point: tuple[int, ...]) -> bytes:
    x, y = (value * pow(point[2], P - 2, P) % P for value in point[:2])
    return (y | (x & 1) << 255).to_bytes(32, "little")


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Check an evidence file of an audit_pipelines ledger, offline.")
    parser.add_argument("file", type=Path)
    parser.add_argument("--key", metavar="VERIFIER_KEY", help="the public key, got from elsewhere than the file")
    arguments = parser.parse_args(argv)
    try:
        status, lines = 0, verify(arguments.file.read_bytes(), arguments.key)
    except (RefusedError, ValueError, RecursionError, OSError) as error:
        status, verdict = (1, "REFUSED") if isinstance(error, RefusedError) else (2, "NOT CHECKED")
        lines = [f"{verdict}: {error}"]
    # ASCII alone: what stands in an evidence file must not be able to steer a terminal.
    sys.stdout.write("\n".join(lines).encode("ascii", "backslashreplace").decode() + "\n")
    return status


if __name__ == "__main__":
    sys.exit(main())
