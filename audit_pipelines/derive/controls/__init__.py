"""Controls with live evidence, and the requirements that they show.

Each is checked when it is asked, against catalogs, rows and files, never against what the configuration hopes for. What
laws and standards ask is data in `requirements`; what is looked at lies in `ledger`, `access` and `people`.
"""

from collections.abc import Container, Sequence
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

import psycopg

from audit_pipelines.derive.controls import access, ledger, people
from audit_pipelines.derive.controls.requirements import FRAMEWORKS, REQUIREMENTS, Requirement
from audit_pipelines.derive.controls.scene import ControlDefinition, Found, Scene
from audit_pipelines.errors import AuditError
from audit_pipelines.identity.opening import open_identity
from audit_pipelines.installation import Installation
from audit_pipelines.ledger.verify import Verification
from audit_pipelines.reports.model import Control, ControlResult, RequirementLine, RequirementResult

CONTROLS: Final[tuple[ControlDefinition, ...]] = (*ledger.CONTROLS, *access.CONTROLS, *people.CONTROLS)

# What one that does not hold says about the requirement: the worst of its controls counts.
_WORST_FIRST: Final[tuple[RequirementResult, ...]] = ("fail", "not checked", "pass")


def check_tenants(installation: Installation, keys: Container[str] | None = None) -> dict[UUID, dict[str, Control]]:
    """Verify every tenant and return its controls by key; `keys` leaves out others."""
    return {
        verification.tenant_id: {one.key: one for one in check_controls(installation, verification, keys=keys)}
        for verification in installation.verify()
    }


def check_controls(
    installation: Installation,
    verification: Verification,
    *,
    now: datetime | None = None,
    keys: Container[str] | None = None,
) -> tuple[Control, ...]:
    """Check every control for one tenant and return them in the order of `CONTROLS`; `keys` leaves out others.

    One that cannot be looked at is `not checked`, with the reason; the others are checked all the same.
    """
    moment = now or datetime.now(UTC)
    identity = open_identity(installation, clock=lambda: moment)
    checked = []
    for definition in CONTROLS:
        if keys is not None and definition.key not in keys:
            continue
        # A connection each: a query that fails must not take the others' transaction with it.
        with installation.database.connection("audit_pipeline") as conn:
            scene = Scene(installation, verification, conn, identity, moment)
            checked.append(_check(definition, scene))
    return tuple(checked)


def requirement_lines(controls: Sequence[Control]) -> tuple[RequirementLine, ...]:
    """Return every requirement with what the given controls say about it."""
    by_key = {control.key: control for control in controls}
    return tuple(_line(requirement, [by_key[key] for key in requirement.controls]) for requirement in REQUIREMENTS)


def requirements_of(key: str) -> str:
    """Return in one line which requirements a control shows."""
    named: dict[str, list[str]] = {}
    for one in REQUIREMENTS:
        if key in one.controls:
            named.setdefault(FRAMEWORKS[one.framework], []).append(one.number)
    return "; ".join(f"{framework} {', '.join(numbers)}" for framework, numbers in named.items())


def _check(definition: ControlDefinition, scene: Scene) -> Control:
    try:
        seen = definition.check(scene)
    except (AuditError, psycopg.Error, OSError) as error:
        reason = str(error) if isinstance(error, AuditError) else type(error).__name__
        return Control(
            definition.name, requirements_of(definition.key), "not checked", f"Could not be checked: {reason}",
            definition.key,
        )  # fmt: skip
    result: ControlResult = "pass" if seen.passed else "fail"
    return Control(definition.name, requirements_of(definition.key), result, seen.evidence.strip(), definition.key)


def _line(requirement: Requirement, shown_by: Sequence[Control]) -> RequirementLine:
    results = {control.result for control in shown_by}
    result: RequirementResult = next((each for each in _WORST_FIRST if each in results), "organisational")
    if requirement.gap:
        result = "not met"
    return RequirementLine(
        requirement.framework,
        requirement.number,
        requirement.asks,
        result,
        tuple(_told(control) for control in shown_by),
        requirement.gap or requirement.organisation,
    )


def _told(control: Control) -> str:
    worst = {"pass": "", "fail": " (fails)", "not checked": " (could not be checked)"}
    return control.control + worst[control.result]


__all__ = [
    "CONTROLS",
    "REQUIREMENTS",
    "ControlDefinition",
    "Found",
    "check_controls",
    "check_tenants",
    "requirement_lines",
]
