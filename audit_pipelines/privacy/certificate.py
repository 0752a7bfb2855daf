"""The certificate of an erasure: a statement in canonical JSON, signed with the key that signs checkpoints.

Pure. What it states comes from `erasing`; that it can be checked with the public key alone is shown by the program that
checks evidence, which needs nothing but Python's standard library.
"""

import base64
import json
from collections.abc import Mapping
from typing import Any

from audit_pipelines.ledger.keys import Signer
from audit_pipelines.ledger.verify_certificate import CERTIFICATE_FORMAT, certificate_message


def sign_certificate(statement: Mapping[str, Any], signer: Signer) -> str:
    """Return the certificate as JSON text; the statement holds no floats, whose spelling is not one."""
    plain = dict(statement)
    certificate = {
        "format": CERTIFICATE_FORMAT,
        "statement": plain,
        "verifier_key": str(signer.verifier_key),
        "signature": base64.b64encode(signer.sign(certificate_message(plain))).decode(),
    }
    return json.dumps(certificate, ensure_ascii=False, sort_keys=True, indent=1) + "\n"
