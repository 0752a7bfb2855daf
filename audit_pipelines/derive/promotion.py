"""Which model of a kind is in use: a newly trained one only if it is not worse, and every decision is written down.

What is measured is decided beside each model (`training`, `detector_choice`). Decisions are rows of
`audit_model_decisions`, never changed; both models stay in the register, so that old scores keep their explanation.
"""

import json
from dataclasses import dataclass
from typing import Final, Literal
from uuid import UUID

from audit_pipelines.db.database import Connection
from audit_pipelines.db.queries import query
from audit_pipelines.derive import lineage, models
from audit_pipelines.derive.models import Decision, Figures, ModelKind, RegisteredModel, TrainedModel
from audit_pipelines.errors import ValidationError
from audit_pipelines.installation import Installation

OPERATOR: Final = "operator"
TRAINING: Final = "training"


@dataclass(frozen=True, slots=True)
class Measure:
    """A figure by which two models are compared, and by how much the new one may fall behind."""

    name: str
    tolerance: float
    better: Literal["higher", "lower"] = "higher"


def compare(
    model_id: str, new: Figures, in_use: RegisteredModel, old: Figures, measures: tuple[Measure, ...], *, on: str
) -> Decision:
    """Decide by figures of both on the same events; `on` says which, for the reason.

    A figure that either lacks decides nothing. The first that fell behind by more than its tolerance is the reason.
    """
    for each in measures:
        mine, theirs = new.get(each.name), old.get(each.name)
        if mine is None or theirs is None:
            continue
        behind = theirs - mine if each.better == "higher" else mine - theirs
        if behind > each.tolerance:
            reason = (
                f"worse on {on}: {each.name} {mine:.4g} against {theirs:.4g} of {in_use.model_id}, "
                f"more than {each.tolerance:g} behind"
            )
            return Decision(model_id, False, reason, in_use.model_id, new, old)
    told = ", ".join(
        f"{each.name} {new[each.name]:.4g} against {old[each.name]:.4g}"
        for each in measures
        if new.get(each.name) is not None and old.get(each.name) is not None
    )
    return Decision(model_id, True, f"not worse on {on}: {told or 'nothing to compare'}", in_use.model_id, new, old)


def in_use(conn: Connection, installation: Installation, tenant_id: UUID, kind: ModelKind) -> RegisteredModel | None:
    """Return the model that the newest decision put into use; None where there is none or its file is gone."""
    row = conn.execute(query("derive/select_model_in_use"), {"tenant_id": tenant_id, "kind": kind}).fetchone()
    found = RegisteredModel(*row) if row else None
    return found if found and models.has_artefact(installation, kind, found.digest) else None


def decided(conn: Connection, tenant_id: UUID, model_id: str) -> Decision | None:
    """Return the newest decision about a model."""
    parameters = {"tenant_id": tenant_id, "model_id": model_id}
    row = conn.execute(query("derive/select_model_decision"), parameters).fetchone()
    return Decision(model_id, *row) if row else None


def decide(conn: Connection, trained: TrainedModel, decision: Decision, *, run_id: str) -> None:
    """Write a decision of the training with its lineage, in the caller's transaction."""
    _record(conn, trained.tenant_id, trained.kind, trained.digest, decision, by=TRAINING, run_id=run_id)


def override(
    installation: Installation, model_id: str, *, used: bool, reason: str, run_id: str, tenant_id: UUID | None = None
) -> UUID:
    """Put a model into use, or aside, by hand; return whose model it is.

    Raises `ValidationError` without a reason or where not exactly one tenant has the model, `TamperedError` where its
    file is not what was registered. Events are scored and tagged by it from the next run on.
    """
    if not reason.strip():
        raise ValidationError("expected a reason for the decision, got none; say it with --reason")
    with installation.database.connection("audit_pipeline") as conn:
        parameters = {"model_id": model_id, "tenant_id": tenant_id}
        found = conn.execute(query("derive/select_model_kind"), parameters).fetchall()
        if len(found) != 1:
            raise ValidationError(
                f"expected one model {model_id}, found {len(found)}; the table audit_ml_models has the ids, and "
                "--tenant says whose where several tenants have it"
            )
        owner, kind, digest = found[0]
        if used:
            models.load(installation, kind, digest)
        decision = Decision(model_id, used, reason.strip())
        _record(conn, owner, kind, digest, decision, by=OPERATOR, run_id=run_id)
    return UUID(str(owner))


def _record(
    conn: Connection,
    tenant_id: UUID,
    kind: ModelKind,
    digest: str,
    decision: Decision,
    *,
    by: str,
    run_id: str,
) -> None:
    figures = {"new": dict(decision.new or {}), "in_use": dict(decision.old or {})}
    row = {
        "tenant_id": tenant_id,
        "model_id": decision.model_id,
        "kind": kind,
        "used": decision.used,
        "reason": decision.reason,
        "decided_by": by,
        "compared_with": decision.compared_with,
        "figures": json.dumps(figures, sort_keys=True),
        "run_id": run_id,
    }
    written = conn.execute(query("derive/insert_model_decision"), row).fetchone()
    number = written[0] if written else 0
    source = {"kind": "model", "key": decision.model_id, "digest": digest}
    beside = ({"kind": "model", "key": decision.compared_with},) if decision.compared_with else ()
    output = lineage.Output(
        tenant_id,
        "model_decision",
        f"{decision.model_id} {'used' if decision.used else 'aside'} {number}",
        bytes.fromhex(digest),
        (source, *beside),
        decision.model_id,
    )
    lineage.record(conn, [output], run_id=run_id)


def decisions_of_run(installation: Installation, run_id: str) -> list[tuple[UUID, Decision]]:
    """Return what a run decided, tenant by tenant, in the order it was decided."""
    with installation.database.connection("audit_pipeline") as conn:
        rows = conn.execute(query("derive/select_run_decisions"), {"run_id": run_id}).fetchall()
    return [(tenant_id, Decision(model_id, used, reason)) for tenant_id, model_id, used, reason in rows]
