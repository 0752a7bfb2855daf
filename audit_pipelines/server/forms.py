"""Small JSON bodies, such as a login: read, typed, with the fault named and no value repeated. Also who sent them."""

import ipaddress
import re
from typing import Final, TypeVar

import msgspec
from starlette.requests import Request

from audit_pipelines.errors import ValidationError
from audit_pipelines.identity.credentials import Origin
from audit_pipelines.ledger.event import UNPRINTABLE
from audit_pipelines.server.body import read_body, require_content_type
from audit_pipelines.server.problems import RequestError

T = TypeVar("T", bound=msgspec.Struct)

FORM_BYTES: Final = 16_384
_LONGEST_AGENT: Final = 512
# msgspec's messages say where, and what was expected; only behind "Invalid enum value" comes the value itself.
_PLACE: Final = re.compile(r" - at `\$\.?([^`]*)`$")
_VALUE: Final = re.compile(r"[Ii]nvalid enum value .*", re.DOTALL)


async def read_form(request: Request, form: type[T]) -> T:
    """Return the body as `form`.

    Raises:
        RequestError: 400, 413 and 415, as for events.
        ValidationError: the first fault by its pointer.
    """
    require_content_type(request, "application/json")
    body = await read_body(request, FORM_BYTES)
    try:
        return msgspec.json.decode(body, type=form)
    except msgspec.ValidationError as error:
        place = _PLACE.search(str(error))
        what = _VALUE.sub("expected another value", _PLACE.sub("", str(error)))
        pointer = "/" + place[1].replace(".", "/") if place and place[1] else ""
        raise ValidationError(
            "One fault in the request's body; nothing was done.", ((pointer, what[:1].lower() + what[1:]),)
        ) from None
    except (ValueError, RecursionError):
        raise RequestError(400, "malformed", "The body is not JSON in UTF-8; nothing was done.") from None


def require_printable(**texts: str | None) -> None:
    """Pass when no text has a control character, which could forge a line of a log.

    Raises:
        ValidationError: naming the fields.
    """
    faults = [
        (f"/{name}", "expected text without control characters")
        for name, text in texts.items()
        if text is not None and UNPRINTABLE.search(text)
    ]
    if faults:
        raise ValidationError("The request's body has faults; nothing was done.", tuple(faults))


def origin_of(request: Request) -> Origin:
    """Return the address at the other end of the connection, a proxy's where there is one, and the user agent."""
    agent = request.headers.get("user-agent")
    return Origin(
        _address(request.client.host) if request.client else None,
        UNPRINTABLE.sub("\ufffd", agent)[:_LONGEST_AGENT] if agent else None,
    )


def _address(host: str) -> str | None:
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        return None
