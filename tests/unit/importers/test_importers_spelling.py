"""What is one person, what is not joined, and who is a machine."""

import pytest

from audit_pipelines.importers.spelling import account, is_machine, person


@pytest.mark.parametrize(
    ("name", "email", "expected"),
    [
        ("Ada@Example.com", None, "ada@example.com"),
        (" ada@example.com ", None, "ada@example.com"),
        ("CORP\\Ada", None, "corp\\ada"),
        ("CORP\\Ada", "Ada@Example.com", "ada@example.com"),
        ("Ada", "ada@example.com", "ada@example.com"),
        ("CORP\\Ada", "ada.winter@example.com", "corp\\ada"),
        ("i:0#.f|membership|Ada@Example.com", None, "ada@example.com"),
        (None, "Ada@Example.com", "ada@example.com"),
        ("Ada Winter", None, "Ada Winter"),
        ("Ada Winter", "no address", "Ada Winter"),
        ("arn:aws:iam::111122223333:user/Ada", None, "arn:aws:iam::111122223333:user/Ada"),
        ("", None, None),
        (None, None, None),
    ],
)
def test_spellings(name: str | None, email: str | None, expected: str | None) -> None:
    assert person(name, email) == expected


def test_accounts_in_parts() -> None:
    assert account("Ada", "CORP") == "corp\\ada"
    assert account("Ada", "example.com") == "ada@example.com"
    assert account("Ada", None) == "Ada"
    assert account(None, "CORP", "Ada@Example.com") == "ada@example.com"


@pytest.mark.parametrize(
    "name",
    [
        "system:serviceaccount:shop:web",
        "system:node:n1",
        "dependabot[bot]",
        "ci@acme.iam.gserviceaccount.com",
        "ServicePrincipal_aa-bb",
        "NT AUTHORITY\\SYSTEM",
        "WEB01$",
        "ec2.amazonaws.com",
        "system@okta.com",
    ],
)
def test_machines(name: str) -> None:
    assert is_machine(name)


@pytest.mark.parametrize("name", ["ada@example.com", "system:anonymous", "system:admin", "robot", "", None])
def test_persons(name: str | None) -> None:
    assert not is_machine(name)
