"""What the details say: short values that are new or rare, sizes beyond any before, and what opens something to all."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from audit_pipelines.intelligence.features.facts import Facts, Feature
from audit_pipelines.intelligence.novelty import FIXED, excess, first_times, novelty
from audit_pipelines.intelligence.past import Floats, Group, Ints, Keys, number, pair

FEATURES: Final = (
    Feature("details_new_actor", "a value in the details that this actor never had there before", "nats"),
    Feature("details_new_tenant", "a value in the details that nobody had there before", "nats"),
    Feature("details_rare_actor", "how much rarer the details are for this actor than for the tenant", "nats"),
    Feature(
        "words_new_actor",
        "first time the actor does just this: kind, outcome and words of the details",
        "nats",
    ),
    Feature("amount_24h", "numbers in the details summed over 24 hours against what is usual", "standard deviations"),
    Feature(
        "amounts_1h", "numbers in the details of 1 hour against what is usual for each kind", "standard deviations"
    ),
    Feature("amounts_24h", "the same of 24 hours", "standard deviations"),
    Feature("size_jump", "the largest number in the details beyond the largest before it", "powers of ten"),
    Feature("exposed", "the details open something to everybody or grant everything", "0 or 1", "meaning"),
    Feature("size", "largest count of rows, bytes or the like in the details; -1 without one", "as logged", "evidence"),
    Feature(
        "size_before", "largest such number of the actor's and the kind's past; -1 without one", "as logged", "evidence"
    ),
)

# A leaf of the details whose value is a short word or a flag. Values with long runs of digits are identifiers and
# moments: always new, so never surprising, and most of the cost.
_LEAF: Final = r'"(?-u:\w){1,40}":(?:"[A-Za-z][A-Za-z0-9_ .:/*+-]{0,31}"|true|false)'
_LEAVES_PER_EVENT: Final = 32
_COUNTED: Final = "row|byte|count|size|record|object|item|file|message|total|quantity|amount|volume|length"
# Whole words of a key in snake or camel case: `row_count`, `bytesTransferredOut`, `numRows`, but not `accountId`.
_CAMEL: Final = "|".join(each.title() for each in _COUNTED.split("|"))
_SIZE: Final = rf'"(?:\w+_)?(?:(?:{_COUNTED})s?|\w*[a-z](?:{_CAMEL})s?)(?:[_A-Z]\w*)?":"?(\d{{1,15}})\b'
# Everybody as principal or source, every action, full administration, or a flag that says public.
_EXPOSED: Final = "|".join(
    (
        r"(?i)0\.0\.0\.0/0",
        r"::/0",
        r'\\?"principal\\?":\s*(?:\{\\?"aws\\?":\s*)?\[?\\?"\*',
        r'\\?"action\\?":\s*\\?"\*\\?"',
        r'"(?:group|groupname|userid|groups)":\s*"all"',
        r"allusers",
        r"allauthenticatedusers",
        r"administratoraccess",
        r'"\w*public\w*":\s*true',
        r"anonymous",
    )
)
# What each of those has in it, as plain words: a seventh of the time, and few details have any.
_MAY_EXPOSE: Final = (
    r'(?i)0\.0\.0\.0/0|::/0|principal|action|"all"|allusers|allauthenticatedusers|administratoraccess|public|anonymous'
)


def texts(ordered: pl.DataFrame) -> pl.DataFrame:
    """Find in the texts of events, row by row and needing nothing of the past, what the family looks into."""
    of = pl.col("details")
    return ordered.select(
        leaves=of.str.extract_all(_LEAF),
        sizes=of.str.extract_all(_SIZE),
        may_expose=of.str.contains(_MAY_EXPOSE).fill_null(value=False),
    )


@dataclass(frozen=True)
class Leaves:
    """The short values in the details of a stretch, one after the other, event after event."""

    counts: Ints
    """By event."""
    row: Ints
    """The event of each."""
    leaf: Keys
    """Of name and value."""
    key: Keys
    """Of the name alone."""
    by_leaf: Group
    texts: pl.Series
    """Of each distinct one, in the order of the groups of `by_leaf`."""
    names: pl.Series
    """The same, of the name alone."""


def leaves(f: Facts) -> Leaves:
    """Find the short values in the details."""
    found = f.texts["leaves"].list.head(_LEAVES_PER_EVENT)
    counts = found.list.len().fill_null(0).to_numpy().astype(np.int64)
    texts = _flat(found)
    leaf, _ = f.stretch.keys(texts)
    by_leaf = f.stretch.group("leaf", leaf)
    # Each distinct leaf is looked into once.
    distinct = texts.gather(by_leaf.order[by_leaf.heads])
    names = distinct.str.splitn('"', 3).struct.field("field_1")
    key = by_leaf.of_group(f.stretch.keys(names)[0])
    row = np.repeat(np.arange(len(f.actor), dtype=np.int64), counts)
    return Leaves(counts, row, leaf, key, by_leaf, distinct, names)


def compute(f: Facts, said: Leaves) -> dict[str, Floats]:
    """Compute the family."""
    size = _sizes(f.texts["sizes"])
    whole = np.maximum(size, 0.0).astype(np.int64)
    log_size = np.log10(1.0 + whole)
    of_actor, of_kind = (_log_size(past.largest("size", whole)) for past in (f.by_actor, f.by_kind))
    known = (of_actor >= 0) & (of_kind >= 0)
    largest = np.where(known, np.maximum(of_actor, np.minimum(of_kind, of_actor + 1.0)), 0.0)
    enough = (f.by_kind.count() >= 5) & (size >= 0)
    jump = np.where(enough, np.maximum(log_size - np.maximum(largest, 1.0), 0.0), 0.0)
    # A sum of whole numbers stays exact; nobody's day holds more than 10^15 of anything.
    amount = np.log1p(f.window.total("amount", f.since_24h, np.minimum(whole, 10**12)))
    unusual = np.clip(excess("amount", f.by_actor, f.tenant, amount, 0.5), 0.0, 12.0)
    rows = np.flatnonzero(size > 0)
    sized = f.stretch.group("sized kind", f.kind[rows])
    own = f.stretch.group("sized actor, kind", pair(f.actor[rows], f.kind[rows]))
    beyond = np.zeros(len(size), dtype=np.int64)
    beyond[rows] = np.round(np.clip(excess("size", own, sized, np.log(size[rows]), 0.5), -3.0, 6.0) * FIXED)
    big: dict[str, Floats] = {}
    for name, first in (("amounts_1h", f.since_1h), ("amounts_24h", f.since_24h)):
        total = f.window.total("beyond", first, beyond) / FIXED
        big[name] = np.maximum(total / np.sqrt(f.window.total("sized", first, size > 0) + 1.0), 0.0)
    return {
        **big,
        "amount_24h": np.where(size > 0, unusual, 0.0),
        "size": size,
        "size_before": np.where(known & (largest > 0), 10.0**largest - 1.0, -1.0),
        "size_jump": jump,
        "exposed": _exposed(f.events["details"], f.texts["may_expose"]),
        **_leaves(f, said),
    }


def _exposed(details: pl.Series, may: pl.Series) -> Floats:
    """Return 1 where the details open something to everybody; `may` tells which are worth a closer look."""
    out = np.zeros(len(details))
    rows = may.arg_true()
    out[rows.to_numpy()] = details.gather(rows).str.contains(_EXPOSED).to_numpy()
    return out


def _sizes(found: pl.Series) -> Floats:
    """Return the largest number found in each event's details, -1 without any."""
    counts = found.list.len().fill_null(0).to_numpy().astype(np.int64)
    out = np.full(len(counts), -1.0)
    if counts.any():
        numbers = _flat(found).str.extract(r"(\d+)$", 1).cast(pl.Float64).to_numpy()
        out[counts > 0] = np.maximum.reduceat(numbers, (np.cumsum(counts) - counts)[counts > 0])
    return out


def _flat(found: pl.Series) -> pl.Series:
    return found.explode(empty_as_null=False, keep_nulls=False)


def _log_size(size: Ints) -> Floats:
    """Return log10(1 + size), and -1 where there is none."""
    return np.where(size >= 0, np.log10(1.0 + np.maximum(size, 0)), -1.0)


def _leaves(f: Facts, said: Leaves) -> dict[str, Floats]:
    """Judge each short value in the details by its key: new or rare for the actor, new for the tenant."""
    counts, row, leaf, key = said.counts, said.row, said.leaf, said.key
    actor_key = pair(f.actor[row], key)
    by_actor_key = f.stretch.group("actor, leaf key", actor_key)
    by_key = f.stretch.group("leaf key", key)
    own = f.stretch.group("actor, leaf", pair(actor_key, leaf)).count()
    everyone = said.by_leaf.count()
    share_all = (everyone + 0.5) / (by_key.count() + 1.0)
    share = (own + 4.0 * share_all) / (by_actor_key.count() + 4.0)
    rarer = np.clip(np.log(share_all) - np.log(share), 0.0, 6.0)
    starts = (np.cumsum(counts) - counts)[counts > 0]
    words = _mixed_words(f, leaf, starts, counts > 0)
    _, words_new = first_times("actor, words", f.by_actor, f.actor, words)
    return {
        "details_new_actor": _most(novelty("leaves of actor", by_actor_key, own == 0), starts, counts),
        "details_new_tenant": _most(novelty("leaves of tenant", by_key, everyone == 0), starts, counts),
        "details_rare_actor": _most(rarer, starts, counts),
        "words_new_actor": words_new,
    }


def _most(values: Floats, starts: Ints, counts: Ints) -> Floats:
    """Return the largest value among each event's leaves, 0 without any."""
    out = np.zeros(len(counts))
    if len(starts):
        out[counts > 0] = np.maximum.reduceat(values, starts)
    return out


def _mixed_words(f: Facts, leaf: Keys, starts: Ints, has: "np.ndarray[tuple[int], np.dtype[np.bool_]]") -> Keys:
    """Return a key of what an event says once names, identifiers and numbers are left out.

    The sum of the leaves' keys, so that their order does not matter: the event's text without what makes it unique.
    """
    said = np.zeros(len(has), dtype=np.uint64)
    if len(starts):
        said[has] = np.add.reduceat(leaf, starts)
    return pair(pair(pair(f.kind, f.entity_kind), number(f.failed)), said)
