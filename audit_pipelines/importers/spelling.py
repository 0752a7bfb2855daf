"""One spelling per actor: what is folded, what is joined on the record's own word, and who is no person.

The vault knows an actor by the exact text, so `Ada@Example.com` and `ada@example.com` would be two persons with two
pasts, and erasing one would leave the other. Only what products treat as equal themselves is folded.
"""

import re
from functools import lru_cache

_EMAIL = re.compile(r"[^\s@,;<>\"'/\\|]+@[\w.-]+")
_CLAIM = re.compile(r"i:0[#a-z0-9.]{1,4}\|(?:[\w.-]+\|)+([^|\s]+@[^|\s]+)", re.IGNORECASE)
_ACCOUNT = re.compile(r"([\w.-]+)\\([^\\/\s]+)")
_MACHINE = re.compile(
    r".*\[bot\]|.*\.gserviceaccount\.com|system:(?!anonymous$|admin$|unauthenticated$|masters$).*|eks:.*"
    r"|serviceprincipal_.*|nt (?:authority|service)\\.*|.*\$|service:.*|.*\.amazonaws\.com|system@okta\.com"
    r"|aksservice|acsservice|masterclient|hcpservice|s-1-5-1[89]",
    re.IGNORECASE,
)


@lru_cache(maxsize=8192)
def person(name: str | None, email: str | None = None) -> str | None:
    """Return the one spelling of a person who is called `name`, and by `email` if the same record says that too.

    E-mail addresses, user principal names and Windows accounts (`DOMAIN\\user`) are read without case by whoever
    issues them: they become lower case. A SharePoint claim (`i:0#.f|membership|ada@example.com`) becomes the address
    in it. `CORP\\ada` and `ada` become `ada@example.com` only where `email` is that very address: a domain's short
    name does not tell its long one, and two people may share a local part.
    """
    spelled = _spelled(name)
    address = _spelled(email)
    if not address or not _EMAIL.fullmatch(address):
        return spelled
    if not spelled:
        return address
    account = _ACCOUNT.fullmatch(spelled)
    local = account[2] if account else spelled
    return address if local.lower() == address.partition("@")[0] else spelled


def account(name: str | None, domain: str | None, email: str | None = None) -> str | None:
    """Return the spelling of a Windows or directory account that is given in parts."""
    if name and domain and "\\" not in name and "@" not in name:
        name = f"{name}@{domain}" if "." in domain else f"{domain}\\{name}"
    return person(name, email)


@lru_cache(maxsize=8192)
def is_machine(name: str | None) -> bool:
    """Tell whether an actor is a machine by its name alone: a service account, a bot, a principal of the platform."""
    return bool(name and _MACHINE.fullmatch(name))


def _spelled(name: str | None) -> str | None:
    if not name or not name.strip():
        return None
    bare = name.strip()
    if claim := _CLAIM.fullmatch(bare):
        bare = claim[1]
    return bare.lower() if _EMAIL.fullmatch(bare) or _ACCOUNT.fullmatch(bare) else bare
