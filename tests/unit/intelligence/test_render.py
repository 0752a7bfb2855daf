import hashlib
import json

import polars as pl
import pytest

from audit_pipelines.errors import ValidationError
from audit_pipelines.intelligence.render import (
    NEGATION_MATTERS,
    SALIENT_KEYS,
    STRIKING,
    VOCABULARY,
    label_words,
    parse_text,
    render_texts,
    text_hash,
)

COMMON_NAMES = """
    alice anna bob charles christophe daniel david elena emma fatima frank grace george hans homer ivan james jane john
    jose juan julia kim lee li lisa maria marie mark max michael mohammed nguyen olga oliver paul pedro peter rose sarah
    singh smith sophie susan thomas wang will yuki garcia mueller martin simpson griffin berlin london paris madrid
    springfield jordan chelsea austin grant-smith dean earl hunter mason taylor faith hope joy art bill
"""


def frame(*events):
    """Build an events frame of (event_type, entity_type, outcome, details) rows; details as an object, text or None."""
    rows = [(*event, None, None, None)[:4] for event in events]
    texts = [d if d is None or isinstance(d, str) else json.dumps(d, separators=(",", ":")) for *_, d in rows]
    return pl.DataFrame(
        {
            "event_type": [row[0] for row in rows],
            "entity_type": [row[1] for row in rows],
            "outcome": [row[2] for row in rows],
            "details": texts,
        },
        schema=dict.fromkeys(("event_type", "entity_type", "outcome", "details"), pl.String),
    )


def text(*event):
    return render_texts(frame(event)).item()


@pytest.mark.parametrize(
    ("label", "words"),
    [
        ("iam:PutUserPolicy", "iam put user policy"),
        ("user.login", "user login"),
        ("billing:CHANGE DIAGN", "billing change diagn"),
        ("ec2:DescribeDBInstances", "ec2 describe db instances"),
        ("lambda:UpdateFunctionCode20150331v2", "lambda update function code"),
        ("route53resolver:DeleteResolverQueryLogConfig", "route53resolver delete resolver query log config"),
        ("AWS.CloudTrail:StopLogging", "aws stop logging"),
        ("cloudtrail:StopLogging", "cloudtrail stop logging"),
        ("GCP.AuditLog:storage.objects.get", "gcp storage objects get"),
        ("audit.log:export", "audit log export"),
        ("Anmeldung.Übergabe", "anmeldung übergabe"),
        ("login maria.garcia@example.com from 10.1.2.3", "login from"),
        ("open arn:aws:iam::123456789012:user/pedro", "open"),
        ("view 3f2504e0-4f89-11d3-9a0c-0305e82c3301 2026-11-23", "view"),
        ("visit https://intranet.example/people/maria", "visit"),
        ("2001:db8:0:1::7", ""),
    ],
)
def test_a_label_becomes_words_without_ids_and_addresses(label, words):
    assert label_words(label) == words


def test_a_text_says_event_entity_outcome_and_telling_details():
    details = {
        "policyArn": "arn:aws:iam::aws:policy/AdministratorAccess",
        "sessionContext": {"mfaAuthenticated": "false"},
    }
    assert text("iam:AttachUserPolicy", "user", "success", details) == (
        "iam attach user policy; user; success; policy administrator access, without mfa"
    )


@pytest.mark.parametrize(
    ("outcome", "said"),
    [
        ("success", "success"),
        ("Succeeded", "success"),
        ("FAILED", "failure"),
        ("AccessDenied", "denied"),
        ("not allowed", "failure"),
        (None, "outcome unknown"),
        ("Maria said no way", "failure"),
        ("Maria", "outcome unknown"),
    ],
)
def test_outcomes_are_a_closed_set(outcome, said):
    assert text("user.login", "user", outcome) == f"user login; user; {said}"


@pytest.mark.parametrize(
    "details",
    [
        {"displayName": "Homer Simpson"},
        {"owner": "maria"},
        {"reason": "asked by Pedro"},
        {"email": "maria@example.com"},
        {"path": "/home/maria/secret"},
        {"maria": True},
        {"note": 'he said "role":"admin" to me'},
        {"policy": '{"Effect":"Allow","maria":true}'},
        {"userName": {"$sealed": "v1.AAAAadmin.BBBB"}},
        {"roleName": "malicious-admin-role"},
        {"id": "admin"},
        {"iban": "DE89370400440532013000"},
        "not json at all: maria",
        "",
        {},
        [],
        None,
    ],
)
def test_nothing_but_vocabulary_passes_from_the_details(details):
    assert text("user.update", "user", "success", details) == "user update; user; success"


def test_a_salient_key_speaks_even_when_its_value_is_sealed_or_a_number():
    said = text("record.read", "record", None, {"patient": {"$sealed": "v1.a.b"}, "rows": 5000, "amount": -1.5})
    assert said == "record read; record; outcome unknown; amount, patient, rows"


def test_any_address_and_wildcards_are_told():
    details = {"cidrIp": "0.0.0.0/0", "principal": "*", "other": "10.0.0.0/8"}
    assert parse_text(text("ec2:Authorize", "group", "success", details)).details == "any address, everything"


def test_the_most_striking_details_survive_the_cut():
    details = {f"{word}_state": "open" for word in ("account", "api", "backup", "bucket", "card", "case", "file")}
    said = parse_text(text("x.y", "z", None, {**details, "visibility": "public"})).details.split(", ")
    assert len(said) == 6
    assert said[0] == "visibility public"


def test_the_vocabulary_holds_no_name_of_a_person_or_place():
    # `grant`, `will` and the like are verbs first; a capital cannot tell, so ambiguous ones are listed here to be seen.
    ambiguous = {"grant"}
    assert not (VOCABULARY - ambiguous) & set(COMMON_NAMES.split())


def test_word_lists_are_used_by_the_vocabulary():
    assert SALIENT_KEYS <= VOCABULARY
    assert NEGATION_MATTERS <= VOCABULARY
    assert not STRIKING - VOCABULARY


def test_a_text_depends_on_its_event_alone():
    events = frame(
        ("user.login", "user", "failure", {"reason": "wrong_password"}),
        ("role.grant", "role", "success", {"role": "administrator"}),
        ("user.login", "user", None, None),
    )
    together = render_texts(events).to_list()
    assert together == [render_texts(events[row]).item() for row in range(3)]
    assert together == render_texts(events.reverse()).to_list()[::-1]


def test_order_and_rows_are_kept_across_slices(monkeypatch):
    monkeypatch.setattr("audit_pipelines.intelligence.render._SLICE", 7)
    details = [{"format": "csv", "name": f"n{row}"} if row % 3 else None for row in range(50)]
    texts = render_texts(
        frame(
            *(("report.export" if row % 2 else "report.view", "report", "success", d) for row, d in enumerate(details))
        )
    )
    for row, said in enumerate(texts):
        assert said.startswith("report export" if row % 2 else "report view")
        assert said.endswith("format csv") == bool(row % 3)
    assert texts.n_unique() == 4


def test_many_events_make_few_texts():
    events = frame(
        *(
            ("record.view", "record", "success", {"id": f"r-{n}", "by": f"person{n}", "at": f"2026-11-{n % 28 + 1}"})
            for n in range(2000)
        )
    )
    assert render_texts(events).n_unique() == 1


def test_an_empty_frame_gives_an_empty_series():
    assert render_texts(frame()).to_list() == []


def test_missing_columns_are_named():
    with pytest.raises(ValidationError, match="missing: outcome, details"):
        render_texts(pl.DataFrame({"event_type": ["a"], "entity_type": ["b"]}))


def test_parse_text_takes_a_text_apart():
    parts = parse_text("role grant; role; outcome unknown; role administrator, without mfa")
    assert (parts.event, parts.entity, parts.outcome, parts.details) == (
        "role grant",
        "role",
        "",
        "role administrator, without mfa",
    )
    assert parse_text("a free question").event == "a free question"


def test_text_hash_is_sha256_of_utf8():
    assert text_hash("übergabe") == hashlib.sha256("übergabe".encode()).digest()


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (("user.session.start", "user", "FAILURE", {"result": "FAILURE"}), "user session start; user; failure"),
        (("hook.create", "repo", "success", {"operation": "create"}), "hook create; repo; success"),
        (
            ("login", "user", "failed", {"result": "failed", "reason": "wrong password"}),
            "login; user; failure; wrong password",
        ),
        (("x.get", "item", "success", {"user": "password", "admin": True, "role": "admin"}), None),
    ],
)
def test_details_say_what_was_not_said_before(event, expected):
    said = text(*event)
    assert expected is None or said == expected
    details = parse_text(said).details.split(", ")
    assert len(details) == len(set(details))
