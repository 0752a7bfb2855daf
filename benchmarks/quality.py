"""The tables of docs/detection.md: `python -m benchmarks --only quality`, on seeds, techniques and events kept aside.

Nothing that is judged here was seen while features, constants and trees were made: `benchmarks.evidence` holds what
was. The real logs are judged where they are at hand (AUDIT_TEST_DATA).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import fmean
from typing import Any, Final, get_args

from audit_pipelines.evaluation.cloud_tenant import cloud_tenant
from audit_pipelines.evaluation.datasets import (
    GENERATED,
    Attack,
    Identity,
    demo_tenant,
    read_attacks,
    read_labelled,
    replay,
)
from audit_pipelines.evaluation.judge import Report, evaluate
from audit_pipelines.evaluation.labelled import Label, Labelled, LabelledEvent
from audit_pipelines.evaluation.peers import PEERS
from benchmarks.evidence import DATA, may_be_seen

DEMO_SEEDS: Final = range(301, 311)
CLOUD_SEEDS: Final = range(301, 305)
OFFICE_SEEDS: Final = range(301, 305)
_INCIDENT_ACTOR: Final = "MordorNginxStack-BankingWAFRole"


@dataclass(frozen=True)
class Case:
    """One stream to judge."""

    group: str
    make: Callable[[], Labelled]
    without: tuple[str, ...] = ()
    judged_from: float = 0.0


def quality_figures() -> Iterator[tuple[str, Report]]:
    """Judge every case; yields each report with the name of its group as it is known."""
    for case in _cases():
        yield case.group, evaluate(case.make(), without=case.without, judged_from=case.judged_from)


def _cases() -> Iterator[Case]:
    for group, seeds in (("demo", DEMO_SEEDS), ("cloud", CLOUD_SEEDS), ("office", OFFICE_SEEDS)):
        tenant = GENERATED[group]
        for seed in seeds:
            yield Case(group, partial(tenant, seed))
    if not DATA.is_dir():
        return
    kept = [each for each in read_attacks(DATA / "cloudtrail-stratus") if not may_be_seen(each.technique)]
    yield Case("hospital, later half", lambda: read_labelled(DATA / "hospital-billing"), judged_from=0.5)
    benign: Sequence[tuple[str, Callable[[], Labelled], int]] = (
        ("hospital", lambda: read_labelled(DATA / "hospital-billing"), 0),
        ("demo", lambda: demo_tenant(221), 1),
        ("cloud", lambda: cloud_tenant(223), 2),
        ("cloud, small", lambda: cloud_tenant(225), 3),
    )
    identities: tuple[Identity, ...] = get_args(Identity)
    for name, tenant_of, seed in benign:
        for identity in identities:
            yield Case(
                f"techniques into {name}, as {identity}",
                partial(_replayed, kept, tenant_of, identity, seed),
                ("user_agent",),
            )
    yield Case("otrf incident", _incident)


def _replayed(kept: list[Attack], tenant: Callable[[], Labelled], identity: Identity, seed: int) -> Labelled:
    return replay(kept, tenant(), identity, seed)


def _incident() -> Labelled:
    """Return the one recorded incident that comes with its own surroundings; its role is the attacker throughout."""
    read = read_labelled(DATA / "cloudtrail-otrf")
    label = Label("attack", "s3 exfiltration", "s3 exfiltration")
    events = (
        LabelledEvent(each.event, label if _INCIDENT_ACTOR in (each.event.actor or "") else Label())
        for each in read.events
    )
    return Labelled("cloudtrail-otrf", tuple(events))


def line(group: str, reports: Sequence[Report]) -> Iterator[str]:
    """Return one row of a Markdown table per detector, the means over the group's streams."""
    for at in range(len(PEERS) + 1):
        ours = [report.judgements[at] for report in reports]
        means = [
            fmean(getattr(one, name) for one in ours)
            for name in (
                "average_precision", "actor_days_average_precision", "precision_at_20", "precision_at_100",
                "recall_at_1_percent", "recall_at_5_percent",
            )
        ]  # fmt: skip
        means += [fmean(one.incidents_found[which] for one in ours) for which in range(3)]
        yield f"| {group} | {ours[0].detector} | " + " | ".join(f"{mean:.3f}" for mean in means) + " |"


def measure(say: Callable[[str], None]) -> list[dict[str, Any]]:
    """Judge everything, print the tables, and return the reports as JSON values."""
    groups: dict[str, list[Report]] = {}
    for group, report in quality_figures():
        groups.setdefault(group, []).append(report)
        best = max(report.judgements[1:], key=lambda one: one.average_precision)
        say(
            f"  {report.dataset}: AP {report.judgements[0].average_precision:.3f} ({best.detector} "
            f"{best.average_precision:.3f}), {report.alerts / report.events:.2%} of events at {report.threshold:g}"
        )
    headings = ("events", "detector", "AP", "AP actor-days", "P@20", "P@100", "recall 1 %", "recall 5 %")
    say("\n| " + " | ".join((*headings, "found in 0.5 %", "in 1 %", "in 5 %")) + " |")
    say("| " + " | ".join("---" for _ in range(11)) + " |")
    for group, reports in groups.items():
        for row in line(group, reports):
            say(row)
    return [report.as_json() for reports in groups.values() for report in reports]
