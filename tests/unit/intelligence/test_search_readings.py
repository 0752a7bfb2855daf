"""What kinds of event are read as."""

import pytest

from audit_pipelines.intelligence.render import label_words
from audit_pipelines.intelligence.search.deeds import DEEDS, deeds, deeds_of
from audit_pipelines.intelligence.search.lexicon import PHRASES, THINGS, VERBS
from audit_pipelines.intelligence.search.readings import readings


@pytest.mark.parametrize(
    ("event_type", "sentence"),
    [
        ("iam:role.revoke", "somebody took away access rights from somebody"),
        ("iam:CreateAccessKey", "programmatic access with a new credential"),
        ("kubernetes:create:pods/exec", "somebody opened a shell in a running container"),
        ("user.session.start", "a person logged in"),
        ("protected_branch.destroy", "somebody wiped the guard on the main branch"),
        ("billing:plan.cancel", "somebody cancelled a billing plan"),
        ("quux", "quux"),
    ],
)
def test_types_of_any_trail_are_read_as_sentences(event_type: str, sentence: str) -> None:
    assert sentence in readings(label_words(event_type))
    assert readings(label_words(event_type))[0] == label_words(event_type)


def test_an_attempt_in_vain_is_read_otherwise() -> None:
    assert "could not get in" in readings("sso login", True)
    assert "could not get in" not in readings("sso login")


@pytest.mark.parametrize(
    ("words", "event", "is_said"),
    [
        ("who rewrote the rules", "iam policy update", True),
        ("cases that were solved", "ticket close", True),
        ("cases that were solved", "ticket create", False),
        ("who looked at the books", "erp ledger read", True),
        ("users", "iam user create", False),
        ("keys that were handed out", "iam key create", True),
        ("who gave the keys out", "iam key create", True),
        ("accounts that were set up", "iam user update", False),
        ("people finding out who is who", "iam role list", True),
        ("documents on the file share", "file share", False),
        ("documents put on the file share", "file upload", True),
        ("whose access keys were renewed", "iam key rotate", True),
        ("whose access keys were renewed", "iam policy read", False),
        ("an applicant was enrolled", "sso mfa enroll", True),
    ],
)
def test_what_was_done_is_said_in_many_words(words: str, event: str, *, is_said: bool) -> None:
    assert bool(deeds(words) & deeds_of(event)) is is_said


def test_the_tables_have_no_empty_entry() -> None:
    for table in (VERBS, THINGS, PHRASES):
        assert all(each and "  " not in each for said in table.values() for each in said)


def test_verbs_are_known_in_all_their_forms() -> None:
    for form in ("steal", "steals", "stole", "stolen", "stealing"):
        assert "export" in DEEDS[form][""], form
    for form in ("deny", "denies", "denied", "denying"):
        assert "reject" in DEEDS[form][""], form
    for form in ("hand", "hands", "handed", "handing"):
        assert "grant" in DEEDS[form]["out"], form
