"""Who has which access, as pages that a reviewer works through and signs: accounts, rights, use, and what is unused.

Pure: facts come as frozen values, sentences are filled from them. Accounts stand here by name, since nobody can review
references; who may fetch the file is decided where it is served. Built of the blocks of `layout.py`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from io import BytesIO
from typing import Final

from reportlab.lib.colors import HexColor

from audit_pipelines.reports import fonts, words
from audit_pipelines.reports.canvas import ONE_DOCUMENT, TextCanvas
from audit_pipelines.reports.layout import (
    CELL,
    CELL_BOLD,
    CELL_MUTED,
    CODE,
    CONTENT,
    GUTTER,
    HAIRLINE,
    MARGIN,
    PAGE_HEIGHT,
    PAGE_WIDTH,
    SECTION,
    SMALL,
    TEXT,
    Cell,
    Column,
    PageFrame,
    Sheet,
    Style,
    Text,
    define_page_total,
)
from audit_pipelines.reports.model import Summary

UNUSED_AFTER: Final = timedelta(days=90)
"""An account that nobody signed in to for so long is unused (PCI DSS 4.0.1, 8.2.6)."""
TITLE: Final = "Access review"
_BIG: Final = Style(font=fonts.BOLD, size=20, leading=26)
_DECISIONS: Final = "[  ] keep   [  ] change   [  ] remove"


@dataclass(frozen=True, slots=True)
class AccountLine:
    """An account and what it was used for in the period."""

    account_ref: str
    login: str
    name: str
    permissions: tuple[str, ...]
    created_at: datetime
    last_login_at: datetime | None
    disabled_at: datetime | None
    locked_until: datetime | None
    must_change: bool
    live_sessions: int
    reads: int
    """Accesses of the period, by whichever token."""
    signatures: int


@dataclass(frozen=True, slots=True)
class ReaderLine:
    """Somebody without an account who read in the period, by a token of an identity provider or of the command line."""

    reader_ref: str
    name: str
    reads: int
    actions: tuple[str, ...]
    last_at: datetime
    is_new: bool
    """Whether they read nothing in the period before."""


@dataclass(frozen=True, slots=True)
class ChangeLine:
    """A change to an account, from the ledger."""

    at: datetime
    what: str
    account: str
    by: str
    seq: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessReview:
    """Everything the pages say."""

    tenant_id: str
    since: datetime
    until: datetime
    generated_at: datetime
    product_version: str
    accounts: Sequence[AccountLine]
    """The oldest first, without erased ones."""
    readers: Sequence[ReaderLine]
    """Most reads first."""
    changes: Sequence[ChangeLine]
    """The oldest first; at most as many as were asked for."""
    changes_total: int
    reads: int
    reads_before: int
    """Of the period of the same length before."""
    readers_before: int
    summary: Summary


def is_unused(account: AccountLine, at: datetime) -> bool:
    """Return whether an account that can be used was not signed in to for UNUSED_AFTER, nor made since."""
    used = account.last_login_at or account.created_at
    return account.disabled_at is None and used < at - UNUSED_AFTER


def compose_review(review: AccessReview) -> Summary:
    """Write the summary of a review whose other fields are complete; each sentence is carried by a count in it."""
    usable = [one for one in review.accounts if one.disabled_at is None]
    unused = [one for one in usable if is_unused(one, review.until)]
    never = [one for one in usable if one.last_login_at is None]
    powers = [one for one in usable if {"audit:admin", "audit:privacy"} <= set(one.permissions)]
    locked = [one for one in usable if one.locked_until and one.locked_until > review.until]
    made = [one for one in review.accounts if review.since <= one.created_at < review.until]
    ended = [one for one in review.accounts if one.disabled_at and review.since <= one.disabled_at < review.until]
    held = f"{words.counted(len(review.accounts), 'account')}, of which {words.number(len(usable))} can be used"
    changed = f"{words.number(len(made))} {_was(len(made))} made and {words.number(len(ended))} disabled"
    idle = f"Unused for {UNUSED_AFTER.days} days: {words.number(len(unused))}{_named(unused)}"
    reads = f"{words.counted(review.reads, 'read')} of the period {_was(review.reads)} recorded"
    changed_reads = words.change(review.reads_before, review.reads)
    strangers = f"{words.number(len(review.readers))} of those who read have no account here"
    sentences = [
        f"On {words.day(review.until)} the tenant has {held}; in the period {changed}.",
        f"{idle}. Never signed in to: {words.number(len(never))}.",
        f"Both to administer and to handle personal data: {words.number(len(powers))}{_named(powers)}.",
        f"{reads}, after {words.number(review.reads_before)} before ({changed_reads}).",
        f"{strangers}, after {words.number(review.readers_before)}.",
    ]
    if locked:
        sentences.append(f"Locked after wrong passwords: {words.number(len(locked))}{_named(locked)}.")
    return Summary(tuple(sentences))


def render_access_review(review: AccessReview) -> tuple[bytes, int]:
    """Return the document and how many pages it has; equal reviews give equal bytes."""
    with ONE_DOCUMENT:
        buffer = BytesIO()
        canvas = TextCanvas(buffer, (PAGE_WIDTH, PAGE_HEIGHT))
        period = words.period(review.since, review.until)
        canvas.describe(
            title=f"{TITLE}: {review.tenant_id}, {period}",
            subject=f"{TITLE} of tenant {review.tenant_id}, {period} (UTC)",
            author=f"audit_pipelines {review.product_version}".strip(),
            keywords=[TITLE.lower(), "audit trail"],
            made_at=review.generated_at,
        )
        canvas.showOutline()
        made = f"{period} (UTC)  ·  generated {words.second(review.generated_at)}  ·  confidential"
        sheet = Sheet(canvas, PageFrame(TITLE, f"tenant {review.tenant_id}", made))
        _head(sheet, review)
        _accounts(sheet, review)
        _readers(sheet, review)
        _changes(sheet, review)
        _sign_off(sheet, review)
        pages: int = canvas.getPageNumber()
        canvas.showPage()
        define_page_total(canvas, pages)
        canvas.save()
        return buffer.getvalue(), pages


def _head(sheet: Sheet, review: AccessReview) -> None:
    sheet.y -= _BIG.size
    sheet.line(MARGIN, sheet.y, TITLE, _BIG)
    sheet.skip(6)
    sheet.y -= SECTION.leading
    sheet.line(MARGIN, sheet.y, f"{words.period(review.since, review.until)} (UTC)", SECTION)
    sheet.section("Summary")
    for sentence in review.summary.sentences:
        sheet.paragraph(sentence, bullet="–", indent=12)
        sheet.skip(2.5)
    composed = review.summary.generated_by == "composed"
    author = (
        "Composed from the counts in this report; no language model was involved."
        if composed
        else "Written by a language model from the counts in this report; the tables are authoritative."
    )
    sheet.paragraph(author, SMALL, indent=12)


def _accounts(sheet: Sheet, review: AccessReview) -> None:
    sheet.section("Accounts", keep=130)
    sheet.paragraph(
        "Who may sign in here, with which permissions, and what they did with them in the period. Strike what nobody "
        "needs any more; the changes themselves are made with `users …` or over HTTP and become events of the ledger.",
        SMALL,
    )
    sheet.skip(4)
    columns = (
        Column("Account", 118),
        Column("Permissions", 84, style=CELL_MUTED),
        Column("Made", 54),
        Column("Last sign-in", 60),
        Column("Reads", 34, "right"),
        Column("Signed", 36, "right"),
        Column("State and decision", CONTENT + GUTTER - 386),
    )
    sheet.table(columns, (_account_row(one, review) for one in review.accounts))


def _account_row(one: AccountLine, review: AccessReview) -> tuple[Cell, ...]:
    if one.disabled_at:
        state = f"disabled {_day(one.disabled_at)}"
    else:
        marks = [
            "unused" if is_unused(one, review.until) else "",
            "locked" if one.locked_until and one.locked_until > review.until else "",
            "password to be replaced" if one.must_change else "",
            words.counted(one.live_sessions, "session") if one.live_sessions else "",
        ]
        state = ", ".join(mark for mark in marks if mark) or "in use"
    decision = [] if one.disabled_at else [Text(_DECISIONS, SMALL, wrap=False)]
    return (
        (Text(one.login, CELL_BOLD, max_lines=2), Text(one.name, CELL, max_lines=2)),
        [Text(one_permission, CELL_MUTED, wrap=False) for one_permission in one.permissions] or "none",
        _day(one.created_at),
        _day(one.last_login_at) if one.last_login_at else "never",
        words.number(one.reads),
        words.number(one.signatures),
        (Text(state, CELL, max_lines=3), *decision),
    )


def _readers(sheet: Sheet, review: AccessReview) -> None:
    sheet.section("Readers without an account", keep=110)
    if not review.readers:
        sheet.paragraph("Everybody who read in the period has an account here.", TEXT)
        return
    sheet.paragraph(
        "They came with a token of an identity provider or of the command line, or are services of this installation. "
        "Tokens themselves are not kept: what shows that one was used is what it read. Their rights are reviewed where "
        "they are given.",
        SMALL,
    )
    sheet.skip(4)
    columns = (
        Column("Reader", 150),
        Column("Read", 170, style=CELL_MUTED),
        Column("Times", 40, "right"),
        Column("Last (UTC)", 84),
        Column("", CONTENT + GUTTER - 444),
    )
    sheet.table(
        columns,
        (
            (
                (Text(one.name, CELL_BOLD, max_lines=2), Text(one.reader_ref, CODE, wrap=False)),
                (Text(", ".join(one.actions), CELL_MUTED, max_lines=4),),
                words.number(one.reads),
                words.minute(one.last_at),
                "new" if one.is_new else "",
            )
            for one in review.readers
        ),
    )


def _changes(sheet: Sheet, review: AccessReview) -> None:
    sheet.section("Changes to accounts", keep=80)
    if not review.changes:
        sheet.paragraph("None in the period.", TEXT)
        return
    printed = len(review.changes)
    if printed < review.changes_total:
        sheet.paragraph(f"The first {printed:,} of {review.changes_total:,}.", SMALL)
        sheet.skip(4)
    columns = (
        Column("When (UTC)", 84),
        Column("What", 130),
        Column("Account", 110),
        Column("By", 110),
        Column("No.", CONTENT + GUTTER - 434, "right", style=CELL_MUTED),
    )
    sheet.table(
        columns,
        (
            (words.minute(one.at), one.what, one.account, one.by, words.number(one.seq))
            for one in review.changes
        ),
    )  # fmt: skip


def _sign_off(sheet: Sheet, review: AccessReview) -> None:
    sheet.section("Sign-off", keep=300)
    sheet.paragraph(
        "I have reviewed the accounts and readers above, and have marked what is to be kept, changed and removed.", TEXT
    )
    for label in ("Name in print", "Role", "Date", "Signature"):
        sheet.skip(34)
        sheet.line(MARGIN, sheet.y, label, CELL_MUTED)
        sheet.canvas.setStrokeColor(HexColor(HAIRLINE))
        sheet.canvas.setLineWidth(0.8)
        sheet.canvas.line(MARGIN + 90, sheet.y - 2, MARGIN + 360, sheet.y - 2)
    sheet.skip(26)
    sheet.paragraph(
        "To sign electronically (21 CFR 11.50, 11.70) instead: POST /api/audit/signatures with this file as record of "
        "the kind `report`. The signature is bound to the file's SHA-256 and stands in the ledger; afterwards a change "
        f"to the file shows. Tenant {review.tenant_id}.",
        SMALL,
    )


def _day(moment: datetime) -> str:
    return words.minute(moment)[:10]


def _named(accounts: Sequence[AccountLine]) -> str:
    if not accounts:
        return ""
    first = [one.login for one in accounts[:3]]
    more = len(accounts) - len(first)
    return f" ({words.listed([*first, f'{words.number(more)} more'] if more else first)})"


def _was(count: int) -> str:
    return "was" if count == 1 else "were"
