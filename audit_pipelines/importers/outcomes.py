"""How products say that something went well, failed or was refused, in one table for all of them.

A word that no table here knows says something of its own (`challenge`) and stays as it is. No product's record is
read here; each format knows where its word stands.
"""

import re
from typing import Any

# fmt: off
SUCCESS = frozenset({
    "0", "accepted", "allow", "allowed", "approved", "completed", "granted", "ok", "okay", "pass", "passed", "permit",
    "permitted", "succeed", "succeeded", "success", "successful", "true",
})
FAILURE = frozenset({
    "err", "error", "fail", "failed", "failure", "false", "ko", "unsuccessful",
})
DENIED = frozenset({
    "access denied", "accessdenied", "blocked", "denied", "deny", "forbidden", "not authorised", "not authorized",
    "refused", "rejected", "unauthorised", "unauthorized",
})
# fmt: on

_OUTCOMES = {
    **dict.fromkeys(SUCCESS, "success"),
    **dict.fromkeys(FAILURE, "failure"),
    **dict.fromkeys(DENIED, "denied"),
}
# What some product writes and no application of one's own would: kept out of the neutral form, whose table is promised.
_OF_PRODUCTS = {
    "credentials ok": "success", "login no error": "success", "no error": "success", "noerror": "success",
    "y": "success", "yes": "success",
    "block": "denied", "disallowed": "denied", "drop": "denied", "dropped": "denied", "forbid": "denied",
    "not allowed": "denied", "permission denied": "denied", "reject": "denied",
    "aborted": "failure", "exception": "failure", "fraud": "failure", "n": "failure", "no": "failure",
    "timeout": "failure",
}  # fmt: skip
DENIED_TEXT = re.compile(
    r"access.?denied|unauthori[sz]ed|not.?authori[sz]ed|authorizationerror|forbidden|permission.?denied", re.IGNORECASE
)


def normal_outcome(value: object) -> Any:
    """Return `success`, `failure` or `denied` for their known spellings and anything else as it is.

    Booleans and numbers count as their text: `0` is the exit status of what went well; `1` may mean either and stays.
    """
    if value is None or value == "":
        return None
    if not isinstance(value, str | int) or (isinstance(value, int) and abs(value) >= 2**64):
        return value
    text = str(value)
    return _OUTCOMES.get(_folded(text), text)


def product_outcome(value: object) -> str | None:
    """Return `success`, `failure` or `denied` for a word, flag or HTTP status of a product; None for anything else."""
    if isinstance(value, bool):
        return "success" if value else "failure"
    if isinstance(value, int):
        return "success" if value == 0 else http_outcome(value)
    if not isinstance(value, str):
        return None
    folded = _folded(value)
    found = _OUTCOMES.get(folded) or _OF_PRODUCTS.get(folded)
    return found or (http_outcome(int(folded)) if len(folded) == 3 and folded.isascii() and folded.isdigit() else None)


def http_outcome(status: int) -> str | None:
    """Return what an HTTP status says; None for a number that is none."""
    if status in (401, 403):
        return "denied"
    return "success" if 100 <= status < 400 else "failure" if 400 <= status < 600 else None


def _folded(text: str) -> str:
    return " ".join(text.lower().replace("_", " ").replace("-", " ").split())
