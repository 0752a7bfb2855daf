"""Passwords: how they are hashed, which are refused, and when they are too old. Pure.

Argon2id (RFC 9106) with that document's second recommended parameters, which are above OWASP's minimum. Whoever checks
a password for an account that does not exist checks it against `Hasher.dummy`, so that both take the same time.
"""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from itertools import pairwise
from typing import Final

from argon2 import PasswordHasher, Type
from argon2.exceptions import InvalidHashError, VerificationError

from audit_pipelines.errors import ValidationError

# RFC 9106 section 4: 3 passes over 64 MiB with 4 lanes.
PASSES: Final = 3
MEMORY_KIB: Final = 65_536
LANES: Final = 4
# Hashing reads all of it; nobody types more.
LONGEST: Final = 1_024
# What is behind nearly every password of twelve characters that gets guessed: a word that everybody knows, and then
# digits, years and marks. Compared without those, and with the usual digits for letters.
_COMMONEST: Final = frozenset({
    "abc", "abcabc", "abcd", "abcdef", "abcdefgh", "abcdefghijkl", "access", "admin", "adminadmin", "administrator",
    "asdf", "asdfgh", "asdfghjkl", "asdfghjklzxcvbnm", "audit", "auditor", "autumn", "baseball", "batman",
    "changeit", "changeme", "changemenow", "charlie", "company", "correcthorsebatterystaple", "default", "dragon",
    "football", "freedom", "guest", "hello", "helloworld", "iloveyou", "iloveyouiloveyou", "jordan", "letmein",
    "letmeinnow", "liverpool", "login", "master", "michael", "monkey", "mustang", "mypassword", "newpassword",
    "pass", "passpass", "passphrase", "passwd", "password", "passwordpassword", "princess", "qazwsx", "qazwsxedc",
    "qwerty", "qwertyqwerty", "qwertyuiop", "qwertz", "qwertzuiop", "root", "samsung", "secret", "secretpassword",
    "shadow", "spring", "starwars", "summer", "sunshine", "superman", "superuser", "system", "temp", "temporary",
    "test", "testing", "testtest", "thisismypassword", "trustno", "user", "username", "welcome", "welcomewelcome",
    "whatever", "winter", "zaqwsx", "zxcvbn", "zxcvbnm",
})  # fmt: skip
_DIGITS_FOR_LETTERS: Final = str.maketrans("013457@$!", "oleastasi")
_DECORATION: Final = re.compile(r"[\W\d_]+")


@dataclass(frozen=True, slots=True)
class PasswordPolicy:
    """What a password must be; the defaults of the settings are those of PCI DSS 4.0, 8.3."""

    min_length: int = 12
    max_age: timedelta | None = timedelta(days=90)
    """None: passwords do not age."""
    history: int = 4
    """How many former passwords may not come again."""

    def is_expired(self, set_at: datetime, now: datetime) -> bool:
        """Return whether a password that was set at `set_at` has to be replaced."""
        return self.max_age is not None and now - set_at >= self.max_age

    def expires_at(self, set_at: datetime) -> datetime | None:
        """Return until when it may be used."""
        return None if self.max_age is None else set_at + self.max_age

    def check(self, password: str, *, names: Iterable[str]) -> None:
        """Pass when the password may be set by somebody with these names: login and printed name.

        Raises:
            ValidationError: every fault by name; the password is not repeated.
        """
        text = normalise(password)
        faults = []
        if not self.min_length <= len(text) <= LONGEST:
            faults.append(f"expected {self.min_length} to {LONGEST:,} characters")
        if any(piece in text.casefold() for name in names for piece in _pieces(name)):
            faults.append("expected no part of the login or the name in it")
        if _is_common(text):
            faults.append("expected none of the commonest passwords, nor one that is a few characters repeated")
        if faults:
            raise refused(faults)


class Hasher:
    """Hashes passwords and checks them; about 0.1 s and 64 MiB each, outside Python's lock."""

    def __init__(self, *, passes: int = PASSES, memory_kib: int = MEMORY_KIB, lanes: int = LANES) -> None:
        self._argon2 = PasswordHasher(time_cost=passes, memory_cost=memory_kib, parallelism=lanes, type=Type.ID)

    @cached_property
    def dummy(self) -> str:
        """A hash that no password fits, made with the parameters of the real ones."""
        return self._argon2.hash("\x00 no text that is normalised has this")

    def hash(self, password: str) -> str:
        """Return the hash of a password with its salt and parameters, as PHC text."""
        return self._argon2.hash(normalise(password))

    def fits(self, hashed: str, password: str) -> bool:
        """Return whether the hash is of this password; false as well for text that is no hash."""
        try:
            return self._argon2.verify(hashed, normalise(password))
        except (VerificationError, InvalidHashError):
            return False

    def is_outdated(self, hashed: str) -> bool:
        """Return whether the hash was made with other parameters than are used now."""
        return self._argon2.check_needs_rehash(hashed)


def refused(faults: Sequence[str]) -> ValidationError:
    """Return the refusal of a new password, with every reason."""
    return ValidationError(
        f"The new password is refused: {'; '.join(faults)}.", tuple(("/new_password", fault) for fault in faults)
    )


def normalise(password: str) -> str:
    """Return one form of what may be typed in several (NIST SP 800-63B: NFKC)."""
    return unicodedata.normalize("NFKC", password)


def _pieces(name: str) -> set[str]:
    """Return what of a name makes a password guessable: its words, from four characters on."""
    folded = normalise(name).casefold()
    return {piece for piece in (folded, *re.split(r"[\W_]+", folded)) if len(piece) >= 4}


def _is_common(text: str) -> bool:
    folded = text.casefold()
    cores = {_DECORATION.sub("", form) for form in (folded, folded.translate(_DIGITS_FOR_LETTERS))}
    # A tail of digits is no letters: "password2026" is "password", whatever 2 and 0 may stand for.
    cores.add(_DECORATION.sub("", folded.rstrip("0123456789!?.,*#$ ").translate(_DIGITS_FOR_LETTERS)))
    return not cores.isdisjoint(_COMMONEST) or len(set(folded)) < 5 or _is_run(folded)


def _is_run(text: str) -> bool:
    """Return whether each character follows or precedes the one before, as in 123456789012."""
    steps = [ord(right) - ord(left) for left, right in pairwise(text)]
    regular = sum(step in {1, -1, 0} for step in steps)
    return regular >= len(steps) - 1
