"""What the tests of anomalies share: a small company whose events are scored, and what was found in them."""

import uuid
from datetime import UTC, date, datetime, timedelta
from typing import Any

from audit_pipelines.derive import anomalies, features, incidents, scoring
from audit_pipelines.generator.generate import generate
from audit_pipelines.installation import Installation
from audit_pipelines.lake.export import export_window
from audit_pipelines.ledger.event import Event


def small_company() -> list[Event]:
    """Return 1,200 events."""
    return generate(5, datetime(2026, 11, 20, tzinfo=UTC), days=4, people=24, services=8).events[:1200]


def detect(installation: Installation) -> None:
    export_window(installation, date(2025, 1, 1), datetime.now(UTC).date() + timedelta(days=1), run_id="test")
    features.update_event_features(installation, run_id="test")
    scoring.score_events(installation, run_id="test")
    anomalies.update_anomalies(installation, run_id="test")
    incidents.update_incidents(installation, run_id="test")


def rows(installation: Installation, sql: str, *parameters: object) -> list[Any]:
    with installation.database.connection("audit_pipeline") as conn:
        return conn.execute(sql, parameters).fetchall()


def one_anomaly(installation: Installation) -> uuid.UUID:
    ((anomaly_id,),) = rows(
        installation,
        "select anomaly_id from audit_anomalies where actor_ref is not null and jsonb_array_length(compared_with) > 2 "
        "order by score desc, seq limit 1",
    )
    return anomaly_id


def superuser(installation: Installation, statement: str, *parameters: object) -> None:
    with installation.database.connect_admin() as conn:
        conn.execute("set session_replication_role = replica")
        conn.execute(statement, parameters)
