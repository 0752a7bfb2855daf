"""Finding values inside a decoded record, whatever a store on the way did to the case of its keys.

Lakes and warehouses write every key in lower case (`eventtype` for `eventType`); each step is looked up as the product
spells it, then in lower case. No product's names belong here.
"""

from typing import Any


def at(value: Any, *path: str | int) -> Any:
    """Return what stands at `path`, None where it leads nowhere; a number is a position in an array."""
    for step in path:
        if isinstance(step, str):
            if not isinstance(value, dict):
                return None
            value = value[step] if step in value else value.get(step.lower())
        elif not isinstance(value, list) or not -len(value) <= step < len(value):
            return None
        else:
            value = value[step]
    return value


def text(value: Any, *path: str | int) -> str | None:
    """Return the text at `path`, stripped; None where there is none or an empty one. A number counts as its text."""
    found = at(value, *path)
    if isinstance(found, str):
        return found.strip() or None
    if isinstance(found, int | float) and not isinstance(found, bool):
        return str(found)
    return None


def first_text(value: Any, *paths: tuple[str | int, ...]) -> str | None:
    """Return the first text that one of `paths` leads to."""
    for path in paths:
        if found := text(value, *path):
            return found
    return None


def objects(value: Any, *path: str | int) -> list[dict[str, Any]]:
    """Return the objects in the array at `path`; one object that stands there alone counts as an array of one."""
    found = at(value, *path)
    if isinstance(found, dict):
        return [found]
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []
