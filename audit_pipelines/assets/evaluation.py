"""How good detection is, on events of which the truth is known; says nothing about any tenant's own events."""

import dagster as dg
from pydantic import Field

from audit_pipelines.assets.common import OWNERS
from audit_pipelines.derive import lineage
from audit_pipelines.metadata import picture, table


class EvaluationConfig(dg.Config):
    """What to judge on."""

    datasets: list[str] = Field(default_factory=lambda: ["demo:1", "cloud:1", "office:1"])
    """As `audit-pipelines evaluate` takes them."""
    peers: bool = False
    """Score with the detectors of others as well; a minute a dataset."""


@dg.asset(
    description=(
        "The detector judged on labelled events, each scored by its past alone: average precision, what an alert "
        "budget finds, alerts a day. The same figures as `audit-pipelines evaluate`; nothing is written."
    ),
    group_name="models",
    owners=OWNERS,
    kinds={"numpy"},
    tags={"layer": "evaluation"},
    code_version=lineage.product_version(),
)
def detection_quality(config: EvaluationConfig) -> dg.MaterializeResult[None]:
    """Judge the detector on each dataset."""
    from audit_pipelines.evaluation.datasets import read_dataset  # noqa: PLC0415 — see assets.common
    from audit_pipelines.evaluation.judge import evaluate  # noqa: PLC0415 — see assets.common
    from audit_pipelines.evaluation.peers import PEERS  # noqa: PLC0415 — see assets.common
    from audit_pipelines.evaluation.plots import alerts_by_day, precision_recall  # noqa: PLC0415 — see assets.common

    peers = tuple(PEERS) if config.peers else ()
    reports = [evaluate(read_dataset(name), peers=peers) for name in config.datasets]
    headings = ("dataset", "detector", "AP", "AP actor-days", "P@20", "P@100", "recall at 1 %", "recall at 5 %")
    metadata: dict[str, dg.MetadataValue] = {
        "average_precision": table(
            headings,
            (
                (
                    report.dataset, one.detector, one.average_precision, one.actor_days_average_precision,
                    one.precision_at_20, one.precision_at_100, one.recall_at_1_percent, one.recall_at_5_percent,
                )
                for report in reports
                for one in report.judgements
            ),
        ),
        "alerts": table(
            ("dataset", "events", "alerts", "a day", "on attacks", "incidents", "with an alert"),
            (
                (
                    report.dataset, report.events, report.alerts, report.alerts_a_day, report.true_alerts,
                    len(report.incidents), sum(row.found for row in report.incidents),
                )
                for report in reports
            ),
        ),
    }  # fmt: skip
    for report in reports[:3]:
        name = report.dataset.replace(":", "_")
        metadata[f"{name}_curve"] = picture("Precision over recall", precision_recall(report))
        metadata[f"{name}_alerts"] = picture("Alerts a day", alerts_by_day(report))
    return dg.MaterializeResult(metadata=metadata)
