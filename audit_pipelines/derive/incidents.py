"""`audit_incidents`: anomalies of one actor close in time, kept under an id that lasts.

What belongs together and how it is told is `intelligence.incidents`'; here is only which actors need it, and the table.
The cost follows the actors with anomalies that are new, changed or gone, not the history.
"""

import hashlib
import json
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from psycopg.rows import class_row

from audit_pipelines.db.database import Connection
from audit_pipelines.db.queries import query
from audit_pipelines.derive import lineage
from audit_pipelines.derive.locks import exclusive
from audit_pipelines.installation import Installation
from audit_pipelines.intelligence.incidents import Incident, Known, Member, Retold, retell

_MERGED: Final = "merged"
_WITHDRAWN: Final = "withdrawn"


@dataclass(frozen=True, slots=True)
class IncidentUpdate:
    """What became of one tenant's incidents."""

    tenant_id: UUID
    actors: int
    """Actors whose anomalies were told anew."""
    open: int
    """Incidents of those actors, as they are now."""
    new: int
    merged: int
    withdrawn: int


def update_incidents(installation: Installation, *, run_id: str, tenant_id: UUID | None = None) -> list[IncidentUpdate]:
    """Tell the incidents anew of every actor with anomalies that are new, changed or gone; of one tenant, or of all.

    One transaction per tenant, with its row of `audit_lineage`. Repeating it writes nothing.
    """
    with exclusive(installation.database, "incidents"):
        with installation.database.connection("audit_pipeline") as conn:
            stale: dict[UUID, list[UUID | None]] = {}
            for tenant, actor in conn.execute(query("derive/select_stale_actors"), {"tenant_id": tenant_id}):
                stale.setdefault(tenant, []).append(actor)
        done = []
        for tenant, actors in stale.items():
            with installation.database.connection("audit_pipeline") as conn:
                done.append(_update_tenant(conn, tenant, actors, run_id))
        return done


def _update_tenant(conn: Connection, tenant_id: UUID, actors: list[UUID | None], run_id: str) -> IncidentUpdate:
    told: list[Retold] = []
    new = 0
    of_actors = {"tenant_id": tenant_id, "actors": actors}
    members: dict[UUID | None, list[Member]] = {actor: [] for actor in actors}
    with conn.cursor(row_factory=class_row(_Row)) as cursor:
        for row in cursor.execute(query("derive/select_anomalies_of_actors"), of_actors):
            members[row.actor_ref].append(row.member())
    known: dict[UUID | None, list[Known]] = {actor: [] for actor in actors}
    for actor, incident, founding_seq in conn.execute(query("derive/select_incidents_of_actors"), of_actors):
        known[actor].append(Known(incident, founding_seq))
    for actor in actors:
        retold = retell(tenant_id, members[actor], known[actor])
        new += len({one.incident_id for one in retold.incidents} - {one.incident_id for one in known[actor]})
        _write(conn, tenant_id, actor, retold, run_id)
        told.append(retold)
    incidents = [one for each in told for one in each.incidents]
    gone = sum(len(each.merged) + len(each.withdrawn) for each in told)
    if incidents or gone:
        digest = hashlib.sha256(json.dumps([_row(one) for one in incidents], default=str).encode()).digest()
        sources = tuple(
            {"kind": "audit_anomalies", "seq": member.seq, "digest": member.row_hash}
            for one in incidents
            for member in one.members
        )
        digests = hashlib.sha256(json.dumps(sources).encode()).hexdigest()
        source = lineage.file_input("anomalies", f"{len(sources)} anomalies of {len(actors)} actors", digests)
        lineage.record(
            conn, [lineage.Output(tenant_id, "incidents", "audit_incidents", digest, (source,))], run_id=run_id
        )
    return IncidentUpdate(
        tenant_id,
        len(actors),
        len(incidents),
        new,
        sum(len(each.merged) for each in told),
        sum(len(each.withdrawn) for each in told),
    )


@dataclass(frozen=True, slots=True)
class _Row:
    """A row of `derive/select_anomalies_of_actors`."""

    actor_ref: UUID | None
    anomaly_id: UUID
    seq: int
    row_hash: str
    occurred_at: Any
    event_type: str
    meaning: str
    risk: float
    score: float
    severity: Any
    reasons: list[dict[str, Any]]
    suppressed: bool
    incident_id: UUID | None

    def member(self) -> Member:
        """Return it as incidents know it."""
        reasons = tuple(str(one["text"]) for one in self.reasons)
        return Member(
            self.anomaly_id,
            self.seq,
            self.row_hash,
            self.occurred_at,
            self.event_type,
            self.meaning,
            self.risk,
            self.score,
            self.severity,
            reasons,
            self.suppressed,
            self.incident_id,
        )


def _write(conn: Connection, tenant_id: UUID, actor: UUID | None, retold: Retold, run_id: str) -> None:
    own = {"tenant_id": tenant_id, "actor_ref": actor, "run_id": run_id}
    with conn.cursor() as cursor:
        cursor.executemany(query("derive/upsert_incident"), [_row(one) | own for one in retold.incidents])
    for state, ended in ((_MERGED, retold.merged), (_WITHDRAWN, dict.fromkeys(retold.withdrawn))):
        for incident_id, heir in ended.items():
            over = {"tenant_id": tenant_id, "incident_id": incident_id, "state": state, "heir": heir, "run_id": run_id}
            conn.execute(query("derive/end_incident"), over)
    pairs = [(member.anomaly_id, one.incident_id) for one in retold.incidents for member in one.members]
    belonging = {
        "tenant_id": tenant_id,
        "anomalies": [anomaly for anomaly, _ in pairs],
        "incidents": [incident for _, incident in pairs],
    }
    conn.execute(query("derive/assign_anomalies"), belonging)


def _row(one: Incident) -> dict[str, Any]:
    return {
        "incident_id": one.incident_id,
        "founding_seq": one.founding_seq,
        "first_at": one.members[0].occurred_at,
        "last_at": one.members[-1].occurred_at,
        "anomalies": len(one.members),
        "suppressed": sum(member.suppressed for member in one.members),
        "score": one.score,
        "alert_score": one.alert_score,
        "alert_severity": one.alert_severity,
        "severity": one.severity,
        "title": one.title,
        "meanings": json.dumps(one.meanings),
        "story": json.dumps(one.story),
    }


def state_counts(installation: Installation) -> list[tuple[str, str, int]]:
    """Count all incidents by state and severity, the gravest first."""
    with installation.database.connection("audit_pipeline") as conn:
        return [(state, severity, count) for state, severity, count in conn.execute(query("derive/count_incidents"))]
