"""A first draft of a map, from records: what `guessing` hit, written as the TOML that `map_file` reads.

The draft is for a person to correct, so it says how often each path had a value and what it took for granted.
"""

import re
from collections import Counter, defaultdict
from typing import Any, Literal

from audit_pipelines.errors import ValidationError
from audit_pipelines.importers.fields import utc_moment
from audit_pipelines.importers.guessing import Path, Understood, understand
from audit_pipelines.importers.lookup import text

MAX_RECORDS = 10_000

_Part = Literal["event_type", "time", "actor", "entity", "outcome", "ip", "user_agent"]
_PARTS: tuple[_Part, ...] = ("event_type", "time", "actor", "entity", "outcome", "ip", "user_agent")
_ASSUMED_UTC = ("iso", "%Y-%m-%d %H:%M:%S (UTC)")
_IDS = ("event_id", "eventId", "eventID", "uuid", "insertId", "log_id", "id")
_ZONED = re.compile(r"[Zz]$|[+-]\d\d:?\d\d$")


class Proposal:
    """Collects what the common names find in records; `toml` writes it down."""

    def __init__(self) -> None:
        self._records = 0
        self._found: dict[_Part, Counter[str]] = defaultdict(Counter)
        self._forms: Counter[str] = Counter()
        self._types: Counter[str] = Counter()
        self._type_paths: Counter[str] = Counter()
        self._ids: dict[str, set[str]] = {name: set() for name in _IDS}
        self._costs: dict[str, int] = {}

    def add(self, body: dict[str, Any]) -> None:
        """Take one record into account, up to `MAX_RECORDS`."""
        if self._records >= MAX_RECORDS:
            return
        self._records += 1
        found = understand(body)
        for part in _PARTS:
            if told := getattr(found, part):
                spelled = _event_source(found) if part == "event_type" else spell(told.path)
                self._found[part][spelled] += 1
                self._costs[spelled] = told.cost
        if found.time:
            self._forms[_form_of(_value(body, found.time.path))] += 1
        if found.entity_type:
            self._types[found.entity_type] += 1
        if found.entity_type_path:
            self._type_paths[spell(found.entity_type_path)] += 1
        for name, seen in self._ids.items():
            if value := text(body, name):
                seen.add(value)

    def toml(self) -> str:
        """Return the map as text."""
        lines = [
            f"# A first draft, from {self._records:,} records. The numbers say in how many of them a path was taken.",
            "# Correct it, then: import json PATH… --map FILE --dry-run",
            "version = 1",
        ]
        for part in _PARTS:
            lines += ["", f"[{part}]", *self._part(part)]
        unique = [name for name, seen in self._ids.items() if self._records and len(seen) == self._records]
        lines += [
            "",
            "# [event_id]",
            "# Only if it is unique for ever and of the event, not of what it is about; else ids follow",
        ]
        lines += ["# from the content, and a second import adds nothing either way."]
        lines += [f'# from = ["{name}"]' for name in unique[:1]] or ["# from = []"]
        lines += ["", "[details]", '# Beyond what is sealed anyway (secrets, names, addresses): "a.b", "items.*.value"']
        lines += ["# sealed = []", ""]
        return "\n".join(lines)

    def _part(self, part: _Part) -> list[str]:
        found = self._found[part]
        if not found:
            return ["# nothing was found; say where it stands:", f"# {'id' if part == 'entity' else 'from'} = []"] + (
                ['from = ["time"]', 'formats = ["rfc3339"]', 'missing = "receipt"'] if part == "time" else []
            )
        key = "id" if part == "entity" else "from"
        lines = [f"{key} = ["]
        # Templates before the paths they are made of, then the best name first, as `understand` prefers them.
        sources = sorted(found, key=lambda one: ("{" not in one, self._costs[one]))
        lines += [f"    {_quoted(source)},  # {found[source]:,}" for source in sources]
        lines.append("]")
        if part == "entity":
            common = self._types.most_common(1)[0][0]
            types = [path for path, _ in self._type_paths.most_common()]
            lines += [f"type = [{', '.join(map(_quoted, types))}]"] if types else []
            lines.append(f"default_type = {_quoted(common)}")
        if part == "time":
            forms = [form for form, _ in self._forms.most_common()]
            lines.append(f"formats = [{', '.join(map(_quoted, forms))}]")
            if any(form in _ASSUMED_UTC for form in forms):
                lines.append('zone = "UTC"  # taken for granted: these times say no zone')
            if sum(found.values()) < self._records:
                lines.append('missing = "receipt"  # some records have no time; "refuse" leaves them out')
        return lines


def spell(path: Path) -> str:
    """Return a path as maps spell it: dotted, or a JSON pointer where a name holds a dot, a brace or a slash."""
    steps = [str(step) for step in path]
    if any(re.search(r"[./{}*]", step) or not step for step in steps):
        return "".join("/" + step.replace("~", "~0").replace("/", "~1") for step in steps)
    return ".".join(steps)


def _event_source(found: Understood) -> str:
    if found.event_type is None:
        return ""
    action = spell(found.event_type.path)
    return f"{{{spell(found.kind.path)}}}:{{{action}}}" if found.kind else action


def _quoted(value: str) -> str:
    plain = "".join(character if character.isprintable() else "?" for character in value)
    return '"' + plain.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _value(body: Any, path: Path) -> Any:
    for step in path:
        body = body[step]
    return body


def _form_of(value: Any) -> str:
    """Name the format of a time that `utc_moment` read."""
    if isinstance(value, str) and not re.fullmatch(r"-?[\d.]+", value):
        if value.endswith("(UTC)"):
            return "%Y-%m-%d %H:%M:%S (UTC)"
        return "rfc3339" if _ZONED.search(value) and _is_rfc3339(value) else "iso"
    size = abs(float(value))
    return next(
        (form for limit, form in ((1e11, "epoch_s"), (1e14, "epoch_ms"), (1e17, "epoch_us")) if size < limit),
        "epoch_ns",
    )


def _is_rfc3339(value: str) -> bool:
    try:
        return utc_moment(value, "time") is not None and not re.search(r"\s[+-]", value)
    except ValidationError:
        return False
