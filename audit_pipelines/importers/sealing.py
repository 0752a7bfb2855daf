"""Which values inside an event's details must not lie in the ledger in clear.

Names secrets and personal data as JSON pointers; the vault seals what they point to. Product-specific knowledge is
limited to key names, listed here so that one reading shows everything that is looked for.
"""

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from audit_pipelines.errors import ValidationError

MAX_DEPTH = 64

# fmt: off
# Compared without case, `_`, `-` and `.`: sessionToken, session_token and Session-Token are one name.
SECRET_NAMES = frozenset({
    "accesstoken", "apikey", "authorization", "authorizationtoken", "authtoken", "bearertoken", "clientsecret",
    "connectionstring", "cookie", "idtoken", "keymaterial", "masterpassword", "masteruserpassword", "newpassword",
    "oldpassword", "onbehalfof", "passwd", "password", "plaintext", "privatekey", "privatekeymaterial",
    "refreshtoken", "samlassertion", "secret", "secretaccesskey", "secretbinary", "secretkey", "secretstring",
    "securitytoken", "sessiontoken", "setcookie", "token", "tokenvalue", "userdata", "webidentitytoken",
    "xamzcredential", "xamzsecuritytoken", "xamzsignature",
})
"""Everything below such a key is sealed (`onBehalfOf` is no secret but a person throughout)."""

PERSONAL_NAMES = frozenset({
    "accesskeyid", "actoremail", "assumedroleid", "callerip", "clientip", "clientipaddress", "displayname", "email",
    "emailaddress", "familyname", "federateduserid", "firstname", "fullname", "givenname", "ipaddress", "lastname",
    "login", "loginname", "mail", "mobile", "phone", "phonenumber", "principalemail", "principalid", "remoteaddr",
    "remoteip", "rolesessionname", "sourceaddress", "sourceidentity", "sourceip", "sourceipaddress", "surname", "upn",
    "useremail", "username", "userprincipalname", "xforwardedfor",
})
"""A text or number directly under such a key is sealed."""

SECRET_ENDINGS = (
    "accesskey", "apikey", "assertion", "authorization", "cookie", "credential", "credentials",
    "passcode", "passphrase", "password", "privatekey", "secret", "sessionid", "sessionkey", "token",
)
"""Everything below a key that ends so is sealed, in records of products about which nobody here has read everything."""

PRODUCT_SECRET_NAMES = frozenset({
    "csrf", "devicefingerprint", "devicetoken", "dthash", "hashedtoken", "jti", "loginkey", "nonce", "otp",
    "rawdata", "requestapitokenid", "sid", "sig", "signature", "stringdata", "tokenid", "uniquetokenid",
    "uniquetokenidentifier", "webhookurl", "xhubsignature", "xhubsignature256",
})
"""As `SECRET_NAMES`, for every format but CloudTrail and the neutral form."""

PRODUCT_PERSONAL_NAMES = frozenset({
    "actor", "actorid", "actorip", "actoripaddress", "actorname", "actoruserid", "actorusername", "adminid", "aip",
    "calleripaddress", "deviceid", "externalidentitynameid", "externalidentityusername", "ip", "ipaddr", "logonname",
    "logonuserdisplayname", "logonusersid", "mailboxownersid", "mailboxownerupn", "nickname", "operator",
    "principalsubject", "remoteaddress", "requestip", "senderemail", "sourceips", "srcaddr", "subjectusername",
    "targetuserorgroupname", "targetusername", "user", "userid", "userip", "userkey", "xrealip",
})
"""As `PERSONAL_NAMES`, for every format but CloudTrail and the neutral form."""
# fmt: on

_TELLING = re.compile(
    r"A(?:KIA|SIA)[A-Z0-9_]{12,}|-----BEGIN [A-Z ]*PRIVATE KEY-----|eyJ[\w-]{10,}\.eyJ[\w-]{10,}"
    r"|X-Amz-(?:Security-Token|Signature)=|arn:aws[a-z-]*:(?:iam|sts)::\d*:(?:user|federated-user|assumed-role)/"
)
_EMAIL = re.compile(r"[^\s@,;<>\"']@[\w-]+\.\w")
# Tokens by the marks that their issuers gave them.
_MARKED = re.compile(
    r"gh[pousr]_[A-Za-z0-9]{20}|github_pat_|xox[abeprs]-|glpat-|\bsk-[A-Za-z0-9_-]{16}|-----BEGIN [A-Z ]*KEY-----"
)
# Secrets inside a text that is a header, an address or JSON itself.
_SCHEME = re.compile(r"\bBearer [\w.~+/-]{8}|\bBasic [A-Za-z0-9+/]{8}")
_QUERY = re.compile(
    r"[?&](?:access_token|api_?key|code|id_token|password|sig|signature|state_?token|token)=", re.IGNORECASE
)
_WRITTEN = re.compile(r'(?:password|secret|token|session_?id|dthash|authorization|api_?key)\\?"\s*:', re.IGNORECASE)
# What AWS writes where it has already removed the value: nothing is left to protect, and the reader wants to see it.
_PLACEHOLDERS = frozenset({"", "HIDDEN_DUE_TO_SECURITY_REASONS", "<sensitiveDataRemoved>"})
_PAIR_NAMES = frozenset({"key", "Key", "name", "Name"})
_PAIR_VALUES = frozenset({"value", "valuestring", "newvalue", "oldvalue", "new", "old", "values", "intvalue"})
_SHORTEST_IDENTIFIER = 4
_SHORTEST_TOKEN = 14  # `Basic` and eight characters; nothing else that the patterns look for is shorter


class SealedNames:
    """Which names and texts count, compiled once; the walk asks it for every key and every text of every record."""

    def __init__(
        self, secret: frozenset[str], personal: frozenset[str], endings: tuple[str, ...], tells: Callable[[str], bool]
    ) -> None:
        self.tells = tells
        self._secret = secret
        self._personal = personal
        self._endings = endings
        # Per instance, and as long as it: there are two of them for the life of the process.
        self.rank = lru_cache(maxsize=16384)(self._rank)

    @property
    def reads_pairs(self) -> bool:
        """Tell whether `{"Name": "password", "Value": …}` is read as if the name were the key."""
        return bool(self._endings)

    def _rank(self, key: str) -> str:
        name = key.lower().replace("_", "").replace("-", "").replace(".", "").replace(" ", "")
        if name in self._secret or (self._endings and name.endswith(self._endings)):
            return "secret"
        return "personal" if name in self._personal else ""


def _tells(text: str) -> bool:
    return bool((len(text) >= _SHORTEST_TOKEN and _TELLING.search(text)) or ("@" in text and _EMAIL.search(text)))


def _tells_in_products(text: str) -> bool:
    if "@" in text and _EMAIL.search(text):
        return True
    if len(text) < _SHORTEST_TOKEN:
        return False
    # Each pattern only where it can match at all: a search costs ten times a test.
    return bool(
        _TELLING.search(text)
        or (("-" in text or "_" in text) and _MARKED.search(text))
        or (" " in text and _SCHEME.search(text))
        or ("=" in text and _QUERY.search(text))
        or ('"' in text and _WRITTEN.search(text))
    )


OWN_NAMES = SealedNames(SECRET_NAMES, PERSONAL_NAMES, (), _tells)
"""For CloudTrail and the neutral form."""
PRODUCT_NAMES = SealedNames(
    SECRET_NAMES | PRODUCT_SECRET_NAMES, PERSONAL_NAMES | PRODUCT_PERSONAL_NAMES, SECRET_ENDINGS, _tells_in_products
)
"""For all other products."""


def sealed_pointers(
    details: dict[str, Any], identifiers: frozenset[str] = frozenset(), names: SealedNames = OWN_NAMES
) -> tuple[str, ...]:
    """Return the RFC 6901 pointers of the leaves of `details` to seal.

    A leaf is sealed for the name of its key, for content that is telling wherever it stands (access keys, private
    keys, tokens, user ARNs, e-mail addresses), or for holding one of `identifiers` as a whole word. Sorted, so that
    the order of keys in an export does not make another event. Raises `ValidationError` for numbers beyond 64 bits
    and nesting beyond `MAX_DEPTH`, which JSON readers disagree about.
    """
    words = tuple(word for word in identifiers if len(word) >= _SHORTEST_IDENTIFIER)
    search = _Search(words, names)
    search.walk_object(details, "", "", 0)
    return tuple(sorted(search.found))


def leaves(value: Any, pointer: str) -> list[str]:
    """Return the pointers of all texts and numbers at and below `value`, which stands at `pointer`."""
    search = _Search((), OWN_NAMES)
    search.walk(value, pointer, "secret", 1)
    return search.found


class _Search:
    """One walk over details. Every node of every record comes by: no generators, and no pointer before it is needed."""

    def __init__(self, words: tuple[str, ...], names: SealedNames) -> None:
        self._words = words
        self._rank = names.rank
        self._tells = names.tells
        self._reads_pairs = names.reads_pairs
        self.found: list[str] = []

    def walk_object(self, value: dict[str, Any], pointer: str, rank: str, depth: int) -> None:
        """Append the pointers below an object; `rank` is what the key above it says."""
        if depth > MAX_DEPTH:
            raise _too_deep(pointer)
        named = "" if _PAIR_NAMES.isdisjoint(value) else self._name_of_pair(value)
        rank_of, found = self._rank, self.found
        for key, item in value.items():
            if item is None or item is True or item is False:
                continue  # says nothing about anybody
            below = rank if rank == "secret" else rank_of(key)
            if named and not below and key.lower() in _PAIR_VALUES:
                below = named
            if isinstance(item, str):
                if below:
                    if item not in _PLACEHOLDERS:
                        found.append(f"{pointer}/{_escape(key)}")
                elif len(item) >= _SHORTEST_IDENTIFIER and self._says(item):
                    found.append(f"{pointer}/{_escape(key)}")
            else:
                self.walk(item, f"{pointer}/{_escape(key)}", below, depth + 1)

    def walk(self, value: Any, pointer: str, rank: str, depth: int) -> None:
        """Append the pointers at and below `value`."""
        if isinstance(value, dict):
            self.walk_object(value, pointer, rank, depth)
        elif isinstance(value, list):
            if depth > MAX_DEPTH:
                raise _too_deep(pointer)
            for position, item in enumerate(value):
                self.walk(item, f"{pointer}/{position}", rank, depth + 1)
        elif isinstance(value, str):
            if value not in _PLACEHOLDERS and (rank or self._says(value)):
                self.found.append(pointer)
        elif value is None or value is True or value is False:
            return
        elif isinstance(value, int) and not -(2**63) <= value < 2**64:
            raise ValidationError(f"{pointer}: expected a number of at most 64 bits")
        elif rank:
            self.found.append(pointer)

    def _name_of_pair(self, value: dict[str, Any]) -> str:
        """Return the rank of the name in `{"Name": …, "Value": …}`, empty where this is no such pair."""
        if not self._reads_pairs or len(value) > 4:
            return ""
        name = value.get("name") or value.get("Name") or value.get("key") or value.get("Key")
        return self._rank(name) if isinstance(name, str) and len(name) <= 100 else ""

    def _says(self, text: str) -> bool:
        """Tell whether a text under a harmless key holds an identifier or a secret."""
        for word in self._words:
            if word in text and _stands_alone(word, text):
                return text not in _PLACEHOLDERS
        return self._tells(text)


def _too_deep(pointer: str) -> ValidationError:
    return ValidationError(f"{pointer[:60]}…: expected at most {MAX_DEPTH} levels of nesting")


def _stands_alone(word: str, text: str) -> bool:
    """Tell whether `word` stands in `text` as a whole: `10.0.0.1` is not in `10.0.0.12`."""
    start = text.find(word)
    while start >= 0:
        end = start + len(word)
        if not text[start - 1 : start].isalnum() and not text[end : end + 1].isalnum():
            return True
        start = text.find(word, start + 1)
    return False


@lru_cache(maxsize=16384)
def _escape(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")
