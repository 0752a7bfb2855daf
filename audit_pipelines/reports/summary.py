"""The report's opening sentences, filled from counts that the report itself prints.

Each sentence is true by construction: it is written only when the count that carries it exists, and no language model
has a say. Other kinds of summary replace `Report.summary` and mark themselves in `Summary.generated_by`.
"""

from typing import Final, get_args
from uuid import UUID

from audit_pipelines.reports import words
from audit_pipelines.reports.model import (
    Before,
    Control,
    Coverage,
    Integrity,
    Report,
    RequirementLine,
    RequirementResult,
    Share,
    Summary,
)

_ROWS: Final = (
    "Take the ledger's rows of this tenant in the order of seq, from 0 to {last}, without a gap. Of each, compute "
    "entry_hash = SHA-256(entry, its bytes as stored); leaf = tenant_id (16 bytes) ‖ seq (8) ‖ recorded_at in µs since "
    "1970 (8) ‖ entry_hash (32), big-endian; leaf_hash = SHA-256(0x00 ‖ leaf); "
    "row_hash = SHA-256(0x02 ‖ row_hash before it ‖ leaf_hash)."
)
_CHAIN: Final = (
    'Before seq 0 stands SHA-256("audit_pipelines/v1" ‖ tenant_id), where tenant_id is {tenant_id}. The row_hash of '
    "{last} must equal the chain head above, and each row hash that is printed here that of its seq."
)
_TREE: Final = (
    "Build the Merkle tree of the first {size} leaf hashes (RFC 6962, section 2.1; inner nodes are "
    "SHA-256(0x01 ‖ left ‖ right)). Its root must equal the checkpoint's."
)
_SIGNATURE: Final = (
    "Check the note's Ed25519 signature over the text above its empty line, newline included, with the public key "
    "{key_id}, obtained from somewhere other than this document."
)
_ANCHOR: Final = (
    "Compare the note, character by character, with the copy in an anchor outside the database. A difference means "
    "that the ledger's history was replaced after the checkpoint."
)
_COMMAND: Final = (
    "Where the software is at hand, audit-pipelines verify --tenant {tenant_id} does all of this: it exits 0 when the "
    "ledger is intact, 1 when it was tampered with (it names seq and what differs), 2 when it could not check."
)


def compose_summary(report: Report, unsuccessful_types: tuple[Share, ...]) -> Summary:
    """Write the summary of a report whose other fields are complete.

    `unsuccessful_types` ranks the types of events that failed or were denied, most frequent first; two are enough.
    """
    return Summary(
        (
            *_activity(report),
            *compared(report),
            *_failures(report, unsuccessful_types),
            *_anomalies(report),
            *_risks(report.risks),
            *_controls(report.controls),
            *_requirements(report.requirements),
            *_coverage(report.coverage),
            *_integrity(report.integrity, report.coverage),
        )
    )


def verification_steps(tenant_id: UUID, integrity: Integrity) -> tuple[str, ...]:
    """Say how an outsider repeats the verification, in the terms of ledger format 1 (RFC 6962, C2SP signed note)."""
    last = "the last row" if integrity.last_seq is None else f"seq {words.number(integrity.last_seq)}"
    steps = [_ROWS.format(last=last), _CHAIN.format(last=last, tenant_id=tenant_id)]
    if checkpoint := integrity.checkpoint:
        steps += [
            _TREE.format(size=words.number(checkpoint.size)),
            _SIGNATURE.format(key_id=checkpoint.key_id),
            _ANCHOR,
        ]
    return (*steps, _COMMAND.format(tenant_id=tenant_id))


def _activity(report: Report) -> tuple[str, ...]:
    totals, timeline = report.totals, report.timeline
    period = words.period(report.since, report.until)
    if totals.events == 0:
        return (f"This report counts no event from {period} (UTC).",)
    held = words.counted(totals.events, "event")
    actors = f" by {words.counted(totals.actors, 'actor')}" if totals.actors else ""
    kinds = f"of {words.counted(totals.event_types, 'type')} on {words.counted(totals.entities, 'entity')}"
    sentences = [f"From {period} (UTC) this report counts {held}{actors}, {kinds}."]
    counts = sorted((one.events for one in timeline.bins), reverse=True)
    if totals.events > 1 and _leads(counts):
        unit = timeline.unit
        busiest = max(timeline.bins, key=lambda one: one.events)
        empty = counts.count(0)
        rest = f"; {words.number(empty)} of {words.counted(len(counts), unit)} had none" if empty else ""
        name = words.bin_name(busiest.start, unit)
        sentences.append(f"The busiest {unit} was {name} with {words.counted(busiest.events, 'event')}{rest}.")
    if _leads([share.events for share in report.event_types]):
        first = report.event_types[0]
        share = words.percent(first.events, totals.events)
        times = words.counted(first.events, "event")
        sentences.append(f"The most frequent type was {first.label} with {times} ({share}).")
    named = [line for line in report.actors if line.actor_ref is not None]
    if _leads([line.events for line in named]):
        reference = words.short_reference(named[0].actor_ref)
        share = words.percent(named[0].events, totals.events)
        caused = words.counted(named[0].events, "event")
        sentences.append(f"The most active actor, reference {reference}, caused {caused} ({share}).")
    return tuple(sentences)


def compared(report: Report) -> tuple[str, ...]:
    """Say how the period differs from the one before, of the same length; nothing where that is not known."""
    before, totals = report.before, report.totals
    if before is None:
        return ()
    changes = [
        f"{words.counted(now, noun)} after {words.number(then)} ({words.change(then, now)})"
        for now, then, noun in (
            (totals.events, before.events, "event"),
            (totals.actors, before.actors, "actor"),
            (totals.anomalies, before.anomalies, "anomaly"),
        )
    ]
    failed = f"{words.number(totals.unsuccessful)} failed or denied after {words.number(before.unsuccessful)}"
    period = words.period(before.since, before.until)
    return (
        f"Compared with the period before ({period}, UTC): {words.listed([*changes, failed])}.",
        *_new(before),
    )


def _new(before: Before) -> tuple[str, ...]:
    types, actors = before.new_event_types_total, before.new_actors_total
    if not types and not actors:
        return ("No event type and no actor is new since then.",)
    named = ""
    if types:
        first = [share.label for share in before.new_event_types[:3]]
        rest = types - len(first)
        named = f" ({words.listed([*first, f'{words.number(rest)} more'] if rest else first)})"
    new = f"{words.counted(types, 'event type')}{named} and {words.counted(actors, 'actor')}"
    return (f"New since then {_was(types + actors)} {new}.",)


def _failures(report: Report, types: tuple[Share, ...]) -> tuple[str, ...]:
    totals = report.totals
    if totals.events == 0:
        return ()
    if totals.unsuccessful == 0:
        return ("No event is recorded as failed or denied.",)
    detail = ""
    if len(types) == 1:
        detail = f", all of type {types[0].label}" if totals.unsuccessful > 1 else f", of type {types[0].label}"
    elif _leads([share.events for share in types]):
        detail = f", {types[0].label} most often ({words.number(types[0].events)})"
    failed = words.counted(totals.unsuccessful, "event")
    share = words.percent(totals.unsuccessful, totals.events)
    return (f"{failed} ({share}) failed or {_was(totals.unsuccessful)} denied{detail}.",)


def _anomalies(report: Report) -> tuple[str, ...]:
    totals = report.totals
    if totals.anomalies:
        levels = words.listed([f"{words.number(share.events)} {share.label}" for share in report.severities])
        sentences = [f"{words.counted(totals.anomalies, 'anomaly')} {_was(totals.anomalies)} found: {levels}."]
        if report.anomalies:
            first = report.anomalies[0]
            when = words.second(first.occurred_at)
            sentences.append(f"First by severity and score is {first.event_type} on {when}, scored {first.score:.2f}.")
        return tuple(sentences)
    if totals.events == 0:
        return ()
    if totals.scored == 0:
        return ("No event of this period has been scored yet, so nothing is said here about anomalies.",)
    return (f"No anomaly was found among {words.counted(totals.scored, 'scored event')}.",)


def _risks(risks: tuple[Share, ...]) -> tuple[str, ...]:
    raised = [share for share in risks if share.label in ("critical", "high")]
    if not raised:
        return ()
    named = words.listed([f"{words.number(share.events)} as {share.label} risk" for share in raised])
    return (f"The classifier tags {named}.",)


def _controls(controls: tuple[Control, ...]) -> tuple[str, ...]:
    wrong = [control.control for control in controls if control.result != "pass"]
    if not controls:
        return ()
    if wrong:
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        named = ", ".join(wrong[:3]) + more if more else words.listed(wrong)
        return (f"{len(wrong)} of {words.counted(len(controls), 'control')} failed or could not be checked: {named}.",)
    if len(controls) == 1:
        return ("The one control that was checked passes.",)
    return (f"All {words.number(len(controls))} controls that were checked pass.",)


def _requirements(lines: tuple[RequirementLine, ...]) -> tuple[str, ...]:
    if not lines:
        return ()
    count = {result: sum(line.result == result for line in lines) for result in get_args(RequirementResult)}
    parts = [
        f"{words.number(count[result])} {told}"
        for result, told in (
            ("pass", "shown by controls that pass"),
            ("fail", "by controls of which one fails"),
            ("not checked", "by controls that could not be checked"),
            ("organisational", "for the organisation alone"),
            ("not met", "not met by this product"),
        )
        if count[result]
    ]
    return (f"Of {words.counted(len(lines), 'requirement')}: {words.listed(parts)}.",)


def _coverage(coverage: Coverage) -> tuple[str, ...]:
    behind = [
        f"{words.number(gap)} {'is' if gap == 1 else 'are'} not yet {state}"
        for count, state in (
            (coverage.lake, "in the lake"),
            (coverage.scored, "scored"),
            (coverage.embedded, "embedded"),
        )
        if (gap := coverage.ledger - count) > 0
    ]
    return (f"Of {words.counted(coverage.ledger, 'event')} in the ledger, {words.listed(behind)}.",) if behind else ()


def _integrity(integrity: Integrity, coverage: Coverage) -> tuple[str, ...]:
    finding = integrity.finding.strip().rstrip(".")
    match integrity.result:
        case "tampered":
            return (f"The ledger does not verify{': ' + finding if finding else ''}.",)
        case "not verified":
            return (f"The ledger was not verified for this report{': ' + finding if finding else ''}.",)
        case "intact":
            verified, on = integrity.events_verified, ""
            if integrity.verified_at:
                on = f" on {words.second(integrity.verified_at)}"
            part = f" of {words.number(coverage.ledger)}" if verified < coverage.ledger else ""
            noun = "event" if (coverage.ledger if part else verified) == 1 else "events"
            sentence = f"{words.number(verified)}{part} {noun} in the ledger {_was(verified)} re-hashed{on}"
            signed = integrity.checkpoint
            covers = f" A signed checkpoint covers {words.counted(signed.size, 'event')}." if signed else ""
            return (f"{sentence}: the hash chain is intact.{covers}",)


def _leads(counts: list[int]) -> bool:
    """Tell whether the first of some falling counts is alone in front; a tie has no busiest."""
    return len(counts) > 1 and counts[0] > counts[1]


def _was(count: int) -> str:
    return "was" if count == 1 else "were"
