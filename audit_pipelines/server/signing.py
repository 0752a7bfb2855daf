"""Electronic signatures and daily reviews over HTTP. What a signature is and whether it holds is `identity/`'s."""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Annotated, Any, Final

import msgspec
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response

from audit_pipelines.errors import AuditError, ValidationError
from audit_pipelines.identity.accounts import PasswordExpiredError
from audit_pipelines.identity.opening import Identity
from audit_pipelines.identity.records import RECORD_KINDS, RecordKind
from audit_pipelines.identity.reviews import MOST_DAYS, Review
from audit_pipelines.identity.signatures import (
    Meaning,
    NoRecordError,
    NotASignerError,
    RecordChangedError,
    SessionEndedError,
    Signature,
    SignatureRefusedError,
    Signing,
)
from audit_pipelines.installation import Installation
from audit_pipelines.ledger.access import hashed
from audit_pipelines.ledger.entry import format_moment
from audit_pipelines.server.access import AccessRecorder
from audit_pipelines.server.auth import Principal
from audit_pipelines.server.forms import origin_of, read_form, require_printable
from audit_pipelines.server.problems import Fault, RequestError
from audit_pipelines.server.signing_in import Login, Password, answer, expired
from audit_pipelines.server.workers import Workers

SIGNATURES_PATH: Final = "/api/audit/signatures"
REVIEWS_PATH: Final = "/api/audit/reviews"
_LONGEST_ID: Final = 1_024
_DAYS_SHOWN: Final = 30

RecordId = Annotated[str, msgspec.Meta(min_length=1, max_length=_LONGEST_ID)]
Sha256 = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$")]


class RecordForm(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Which record is signed, and the hash of what the signer saw of it."""

    kind: RecordKind
    id: RecordId
    hash: Sha256 | None = None


class SignatureForm(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """What a signature takes."""

    record: RecordForm
    meaning: Meaning
    password: Password
    login: Login | None = None
    reason: Annotated[str, msgspec.Meta(max_length=1_000)] | None = None


class SigningRecords:
    """The handlers of signatures and reviews."""

    def __init__(
        self,
        installation: Installation,
        identity: Identity,
        access: AccessRecorder,
        passwords: Workers,
        others: Workers,
    ) -> None:
        self._database = installation.database
        self._vault = installation.vault
        self._access = access
        self._signatures = identity.signatures
        self._reviews = identity.reviews
        self._passwords = passwords
        self._others = others

    async def sign(self, request: Request, principal: Principal) -> Response:
        """Sign a record: 201 with the signature."""
        form = await read_form(request, SignatureForm)
        require_printable(login=form.login, reason=form.reason)
        signing = Signing(
            form.record.kind,
            form.record.id,
            form.meaning,
            form.password,
            form.login,
            form.reason or None,
            bytes.fromhex(form.record.hash) if form.record.hash else None,
        )
        work = partial(self._signatures.sign, principal.tenant_id, principal.session, signing, origin_of(request))
        try:
            made = await self._passwords.run(work)
        except PasswordExpiredError as error:
            raise expired(error) from None
        except AuditError as error:
            status, kind = _REFUSALS.get(type(error), (0, ""))
            if not status:
                raise
            raise RequestError(status, kind, str(error)) from None
        return answer(201, shown_signature(made))

    async def list_signatures(self, request: Request, principal: Principal) -> Response:
        """Return the signatures of a record, of a kind of records or of all, each checked just now."""
        asked = _parameters(request.query_params, {"record_kind": _kind, "record_id": _id})
        if "record_id" in asked and "record_kind" not in asked:
            raise ValidationError("The query parameters have faults.", (("/record_kind", "expected with record_id"),))
        found, filters = await self._others.run(partial(self._find_signatures, principal, asked))
        await self._access.record(request, principal, "signatures.list", filters, len(found))
        return answer(200, {"signatures": [shown_signature(one) for one in found]})

    async def list_reviews(self, request: Request, principal: Principal) -> Response:
        """Return the reviews of some days, the newest first."""
        asked = _parameters(request.query_params, {"from": _day, "to": _day})
        # Reviews are of days that are over, so that today is the end of what there can be.
        until = asked.get("to", datetime.now(UTC).date())
        since = asked.get("from", until - timedelta(days=_DAYS_SHOWN))
        if not timedelta() < until - since <= timedelta(days=MOST_DAYS):
            raise ValidationError(
                "The query parameters have faults.", (("/from", f"expected 1 to {MOST_DAYS} days before `to`"),)
            )
        reviews = await self._others.run(partial(self._find_reviews, principal, since, until))
        filters = {"from": since.isoformat(), "to": until.isoformat()}
        await self._access.record(request, principal, "reviews.list", filters, len(reviews))
        return answer(200, {"reviews": [_shown_review(one) for one in reviews]})

    def _find_signatures(
        self, principal: Principal, asked: Mapping[str, Any]
    ) -> tuple[Sequence[Signature], dict[str, Any]]:
        """Return the signatures, and what was asked for as the access log may hold it."""
        kind, record_id = asked.get("record_kind"), asked.get("record_id")
        with self._database.tenant_connection(principal.tenant_id) as conn:
            found = self._signatures.of_records(conn, kind, None if record_id is None else [record_id])
        filters: dict[str, Any] = {"record_kind": kind} if kind else {}
        if record_id is not None:
            # What found nothing may be a name that was typed into the wrong field.
            tenant_key = self._vault.tenant_key(principal.tenant_id)
            filters["record_id"] = record_id if found else hashed(tenant_key, record_id)
        return found, filters

    def _find_reviews(self, principal: Principal, since: date, until: date) -> Sequence[Review]:
        with self._database.tenant_connection(principal.tenant_id) as conn:
            return self._reviews.of_days(conn, since, until)


_REFUSALS: Final[Mapping[type[AuditError], tuple[int, str]]] = {
    SignatureRefusedError: (403, "signature-refused"),
    NotASignerError: (403, "forbidden"),
    SessionEndedError: (403, "session-required"),
    NoRecordError: (404, "not-found"),
    RecordChangedError: (409, "record-changed"),
}


def shown_signature(signature: Signature) -> dict[str, Any]:
    """Return a signature for an answer: name, time and meaning, to what it belongs, and whether it holds."""
    return {
        "signature_id": str(signature.signature_id),
        "record": {
            "kind": signature.record_kind,
            "id": signature.record_id,
            "hash": signature.record_hash.hex(),
        },
        "meaning": signature.meaning,
        "printed_name": signature.printed_name,
        "signer_ref": str(signature.signer_ref),
        "signed_at": format_moment(signature.signed_at),
        "reason": signature.reason,
        "seq": signature.seq,
        "row_hash": signature.row_hash.hex(),
        "valid": signature.valid,
        "state": signature.state,
        "problems": list(signature.problems),
    }


def _shown_review(review: Review) -> dict[str, Any]:
    return {
        "day": review.day.isoformat(),
        "state": review.state,
        "due_at": format_moment(review.due_at),
        "hash": review.digest.hex() if review.digest else None,
        "figures": review.figures,
        "signatures": [shown_signature(one) for one in review.signatures],
    }


def _parameters(given: QueryParams, known: Mapping[str, Callable[[str], Any]]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    faults: list[Fault] = []
    for name, text in given.multi_items():
        if name not in known:
            faults.append(("", f"unknown parameter; expected some of {', '.join(known)}"))
        elif name in values:
            faults.append((f"/{name}", "expected once, got it again"))
        else:
            try:
                values[name] = known[name](text)
            except ValueError as error:
                faults.append((f"/{name}", str(error)))
    if faults:
        raise ValidationError("The query parameters have faults.", tuple(faults))
    return values


def _kind(text: str) -> RecordKind:
    for kind in RECORD_KINDS:
        if text == kind:
            return kind
    raise ValueError(f"expected one of {', '.join(RECORD_KINDS)}")


def _id(text: str) -> str:
    if not 0 < len(text) <= _LONGEST_ID or "\x00" in text:
        raise ValueError(f"expected 1 to {_LONGEST_ID:,} characters")
    return text


def _day(text: str) -> date:
    try:
        if re.fullmatch(r"\d{4}-\d\d-\d\d", text):
            return date.fromisoformat(text)
    except ValueError:
        pass
    raise ValueError("expected a day as 2026-11-23, in UTC")
