"""The CloudTrail mapping, case by case, on records written for these tests."""

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit_pipelines.errors import ValidationError
from audit_pipelines.importers.cloudtrail import parse
from audit_pipelines.ledger.event import Event

ALICE = {
    "type": "IAMUser",
    "principalId": "AIDAEXAMPLEALICE0001",
    "arn": "arn:aws:iam::111122223333:user/eng/alice",
    "accountId": "111122223333",
    "accessKeyId": "AKIAEXAMPLE000000001",
    "userName": "alice",
}
RECORD = {
    "eventVersion": "1.10",
    "userIdentity": ALICE,
    "eventTime": "2026-05-04T03:02:01Z",
    "eventSource": "iam.amazonaws.com",
    "eventName": "PutUserPolicy",
    "awsRegion": "eu-central-1",
    "sourceIPAddress": "203.0.113.9",
    "userAgent": "aws-cli/2.15",
    "requestParameters": {"userName": "bob", "policyName": "all"},
    "responseElements": None,
    "requestID": "r-1",
    "eventID": "6b1e0f0e-0000-4000-8000-000000000001",
    "readOnly": False,
    "recipientAccountId": "111122223333",
}


def event(**changes: Any) -> Event:
    return parse(msgspec.json.encode({**RECORD, **changes}))


def actor(**identity: Any) -> str | None:
    return event(userIdentity=identity).actor


def session(issuer: str, arn: str, **more: Any) -> dict[str, Any]:
    return {
        "type": "AssumedRole",
        "arn": arn,
        "principalId": "AROAEXAMPLEROLE00001:" + arn.rsplit("/", 1)[1],
        "sessionContext": {"sessionIssuer": {"type": "Role", "arn": issuer, "userName": issuer.rsplit("/", 1)[1]}},
        **more,
    }


def test_columns() -> None:
    got = event()
    assert got.event_type == "iam:PutUserPolicy"
    assert got.actor == "arn:aws:iam::111122223333:user/eng/alice"
    assert (got.entity_type, got.entity_id) == ("user", "arn:aws:iam::111122223333:user/bob")
    assert (got.outcome, got.ip_address, got.user_agent) == ("success", "203.0.113.9", "aws-cli/2.15")
    assert got.event_id == RECORD["eventID"]
    assert got.occurred_at is not None
    assert got.occurred_at.isoformat() == "2026-05-04T03:02:01+00:00"


def test_details_are_the_rest_without_copies_of_columns() -> None:
    details = event().details
    assert details is not None
    assert set(details) == {
        "eventVersion",
        "userIdentity",
        "awsRegion",
        "requestParameters",
        "responseElements",
        "requestID",
        "readOnly",
        "recipientAccountId",
    }
    assert "arn" not in details["userIdentity"]
    assert details["requestParameters"] == RECORD["requestParameters"]


def test_sealed_fields_are_those_present() -> None:
    assert event().sealed_fields == (
        "/requestParameters/userName",
        "/userIdentity/accessKeyId",
        "/userIdentity/principalId",
        "/userIdentity/userName",
    )


def test_secrets_and_own_names_anywhere_are_sealed() -> None:
    got = event(
        eventSource="sts.amazonaws.com",
        eventName="AssumeRole",
        requestParameters={"roleArn": "arn:aws:iam::111122223333:role/deploy", "roleSessionName": "alice-laptop"},
        responseElements={"credentials": {"accessKeyId": "ASIAX", "sessionToken": "IQoJ", "expiration": "soon"}},
        errorMessage="User: arn:aws:iam::111122223333:user/eng/alice is not authorized",
        additionalEventData={"from": "203.0.113.9", "near": "203.0.113.90"},
    )
    assert {
        "/requestParameters/roleSessionName",
        "/responseElements/credentials/accessKeyId",
        "/responseElements/credentials/sessionToken",
        "/errorMessage",
        "/additionalEventData/from",
    } <= set(got.sealed_fields)
    assert "/additionalEventData/near" not in got.sealed_fields
    assert "/requestParameters/roleArn" not in got.sealed_fields
    assert (got.entity_type, got.entity_id) == ("role", "arn:aws:iam::111122223333:role/deploy")


def test_a_failed_login_without_arn_is_the_same_person() -> None:
    known = actor(type="IAMUser", arn="arn:aws:iam::1:user/carol", accountId="1", userName="carol")
    assert actor(type="IAMUser", accountId="1", userName="carol", accessKeyId="") == known


def test_sessions_of_a_role_are_one_actor_and_the_session_name_is_sealed() -> None:
    role = "arn:aws:iam::1:role/app/web"
    one = session(role, "arn:aws:sts::1:assumed-role/web/i-0aaa1111")
    two = session(role, "arn:aws:sts::1:assumed-role/web/i-0bbb2222")
    assert actor(**one) == actor(**two) == role
    got = event(userIdentity=one, additionalEventData={"instance": "i-0aaa1111"})
    assert {"/userIdentity/arn", "/userIdentity/principalId", "/additionalEventData/instance"} <= set(got.sealed_fields)
    assert got.details is not None
    assert "arn" not in got.details["userIdentity"]["sessionContext"]["sessionIssuer"]


def test_a_person_of_identity_center_is_one_actor_through_any_role() -> None:
    admin = "arn:aws:iam::1:role/aws-reserved/sso.amazonaws.com/AWSReservedSSO_Admin_0a"
    reader = "arn:aws:iam::2:role/aws-reserved/sso.amazonaws.com/eu-west-1/AWSReservedSSO_Read_0b"
    assert actor(**session(admin, "arn:aws:sts::1:assumed-role/AWSReservedSSO_Admin_0a/dana@example.org")) == (
        actor(**session(reader, "arn:aws:sts::2:assumed-role/AWSReservedSSO_Read_0b/dana@example.org"))
    )
    # A role of one's own with that name is no Identity Center role: its session name is the caller's choice.
    fake = "arn:aws:iam::1:role/AWSReservedSSO_Admin_0a"
    assert actor(**session(fake, "arn:aws:sts::1:assumed-role/AWSReservedSSO_Admin_0a/dana@example.org")) == fake


@pytest.mark.parametrize(
    ("identity", "expected"),
    [
        ({"type": "Root", "arn": "arn:aws:iam::1:root", "accountId": "1", "principalId": "1"}, "arn:aws:iam::1:root"),
        ({"type": "Root", "accountId": "1"}, "arn:aws:iam::1:root"),
        ({"type": "AssumedRole", "arn": "arn:aws-cn:sts::1:assumed-role/r/s"}, "arn:aws-cn:iam::1:role/r"),
        (
            {
                "type": "FederatedUser",
                "arn": "arn:aws:sts::1:federated-user/tmp",
                "sessionContext": {"sessionIssuer": {"arn": "arn:aws:iam::1:user/alice"}},
            },
            "arn:aws:iam::1:user/alice",
        ),
        ({"type": "SAMLUser", "userName": "eve", "identityProvider": "idp"}, "idp/eve"),
        (
            {"type": "WebIdentityUser", "userName": "eve", "identityProvider": "accounts.example"},
            "accounts.example/eve",
        ),
        ({"type": "WebIdentityUser", "principalId": "p:1"}, "p:1"),
        (
            {
                "type": "IdentityCenterUser",
                "onBehalfOf": {"userId": "u-1", "identityStoreArn": "arn:aws:identitystore::1:x"},
            },
            "arn:aws:identitystore::1:x/u-1",
        ),
        ({"type": "AWSService", "invokedBy": "ec2.amazonaws.com"}, "ec2.amazonaws.com"),
        ({"type": "AWSAccount", "accountId": "9", "principalId": "AROAX:session"}, "9/AROAX"),
        ({"type": "AWSAccount", "accountId": "ANONYMOUS_PRINCIPAL", "principalId": ""}, "ANONYMOUS_PRINCIPAL"),
        ({"invokedBy": "AWS Internal", "accountId": "1"}, "AWS Internal"),
        ({"type": "Unknown"}, None),
        (None, None),
        ("odd", None),
    ],
)
def test_actors(identity: Any, expected: str | None) -> None:
    assert event(userIdentity=identity).actor == expected


@pytest.mark.parametrize(
    ("source", "parameters", "expected"),
    [
        ("s3", {"bucketName": "b", "key": "k"}, ("bucket", "b")),
        ("iam", {"roleName": "ops", "policyArn": "p"}, ("role", "arn:aws:iam::111122223333:role/ops")),
        ("iam", {"userName": "alice"}, ("user", "arn:aws:iam::111122223333:user/eng/alice")),
        ("ec2", {"instancesSet": {"items": [{"instanceId": "i-1"}, {"instanceId": "i-2"}]}}, ("instance", "i-1")),
        ("ec2", {"DeleteFlowLogsRequest": {"FlowLogId": {"tag": 1, "content": "fl-1"}}}, ("flow_log", "fl-1")),
        ("ec2", {"groupId": "sg-1"}, ("security_group", "sg-1")),
        ("secretsmanager", {"secretId": "db"}, ("secret", "db")),
        ("cloudtrail", {"name": "trail-1"}, ("trail", "trail-1")),
        ("lambda", {"functionName": "f"}, ("function", "f")),
        ("ssm", {"names": ["/p/1", "/p/2"]}, ("parameter", "/p/1")),
        ("newservice", {"BucketName": "b"}, ("bucket", "b")),
        ("newservice", {"instancesSet": "odd", "secretId": 7}, ("account", "111122223333")),
        ("ec2", None, ("account", "111122223333")),
        ("ec2", "free text", ("account", "111122223333")),
    ],
)
def test_entities(source: str, parameters: Any, expected: tuple[str, str]) -> None:
    got = event(eventSource=f"{source}.amazonaws.com", requestParameters=parameters)
    assert (got.entity_type, got.entity_id) == expected


@pytest.mark.parametrize(
    ("resource", "expected"),
    [
        ({"type": "AWS::S3::Bucket", "ARN": "arn:aws:s3:::b"}, ("bucket", "arn:aws:s3:::b")),
        ({"ARN": "arn:aws:secretsmanager:eu-1:1:secret:db-x"}, ("secret", "arn:aws:secretsmanager:eu-1:1:secret:db-x")),
        ({"ARN": "arn:aws:sns:eu-1:1:topic"}, ("sns", "arn:aws:sns:eu-1:1:topic")),
    ],
)
def test_resources_stand_in_for_missing_parameters(resource: dict[str, str], expected: tuple[str, str]) -> None:
    got = event(eventSource="x.amazonaws.com", requestParameters=None, resources=["odd", resource])
    assert (got.entity_type, got.entity_id) == expected


def test_without_an_account_the_service_is_the_entity() -> None:
    record = {key: RECORD[key] for key in ("eventTime", "eventSource", "eventName")}
    got = parse(msgspec.json.encode(record))
    assert (got.entity_type, got.entity_id, got.actor, got.event_id) == ("service", "iam", None, None)


@pytest.mark.parametrize(
    ("changes", "outcome"),
    [
        ({}, "success"),
        ({"errorCode": "AccessDenied"}, "denied"),
        ({"errorCode": "AccessDeniedException"}, "denied"),
        ({"errorCode": "Client.UnauthorizedOperation"}, "denied"),
        ({"errorCode": "AuthorizationError"}, "denied"),
        ({"errorCode": "NoSuchEntityException"}, "failure"),
        ({"errorCode": "ThrottlingException", "errorMessage": "Rate exceeded"}, "failure"),
        ({"eventName": "ConsoleLogin", "responseElements": {"ConsoleLogin": "Success"}}, "success"),
        ({"eventName": "ConsoleLogin", "responseElements": {"ConsoleLogin": "Failure"}}, "failure"),
        ({"errorMessage": "Failed authentication"}, "failure"),
    ],
)
def test_outcomes(changes: dict[str, Any], outcome: str) -> None:
    assert event(**changes).outcome == outcome


@pytest.mark.parametrize(
    ("source", "column", "kept", "sealed"),
    [
        ("203.0.113.9", "203.0.113.9", False, False),
        ("203.0.113.9:443", "203.0.113.9", True, True),
        ("[2001:db8::9]:443", "2001:db8::9", True, True),
        ("cloudformation.amazonaws.com", None, True, False),
        ("AWS Internal", None, True, False),
    ],
)
def test_source_addresses(source: str, column: str | None, kept: bool, sealed: bool) -> None:
    got = event(sourceIPAddress=source)
    assert got.ip_address == column
    assert got.details is not None
    assert got.details.get("sourceIPAddress") == (source if kept else None)
    assert ("/sourceIPAddress" in got.sealed_fields) == sealed


def test_the_logstash_form_is_the_same_event() -> None:
    changed: dict[str, Any] = {key: value for key, value in RECORD.items() if key != "eventTime"}
    changed |= {"@timestamp": "2026-05-04T03:02:01.000Z", "@version": "1"}
    assert parse(msgspec.json.encode(changed)) == event()
    assert event(**{"@timestamp": "2026-05-05T00:00:00Z"}) == event()


def test_a_time_that_lost_its_zone_is_utc_and_a_missing_one_is_left_to_the_ledger() -> None:
    for spelling in ("2026-05-04 03:02:01.000000000", "2026-05-04T03:02:01", 1777863721):
        assert event(eventTime=spelling).occurred_at == event().occurred_at
    assert event(eventTime=None).occurred_at is None


def test_a_trimmed_identity_still_names_somebody() -> None:
    assert actor(type="AssumedRole", userName="deploy") == "deploy"
    assert actor(type="Root", userName="root") == "root"


def test_hostile_text_hides_no_event() -> None:
    got = event(userAgent="evil\nline", requestParameters={"userName": "u\n" + "x" * 2000})
    assert got.user_agent == "evil\ufffdline"
    assert got.details is not None
    assert got.details["userAgent"] == "evil\nline"
    assert len(got.entity_id) == 1024


def test_other_partitions_keep_what_cannot_be_rebuilt() -> None:
    got = event(eventSource="s3.amazonaws.com.cn")
    assert got.event_type == "s3:PutUserPolicy"
    assert got.details is not None
    assert got.details["eventSource"] == "s3.amazonaws.com.cn"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"eventName": None, "eventSource": 7},
            ("eventName: expected a text, got null", "eventSource: expected a text"),
        ),
        ({"eventTime": "yesterday"}, ("eventTime", "expected a time")),
        ({"eventID": 7}, ("event_id",)),
        ({"eventID": "bad\n"}, ("event_id",)),
        ({"eventName": "x" * 300}, ("event_type",)),
        ({"digestStartTime": "x"}, ("digest", "CloudTrail-Digest")),
    ],
)
def test_faults_are_in_words(changes: dict[str, Any], words: tuple[str, ...]) -> None:
    with pytest.raises(ValidationError) as caught:
        event(**changes)
    for word in words:
        assert word in str(caught.value)


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*RECORD, *ALICE, "x"]), inner, max_size=4)
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(list(RECORD)), _json, max_size=4))
@settings(max_examples=150, deadline=None)
def test_any_record_is_an_event_or_a_validation_error(changes: dict[str, Any]) -> None:
    try:
        raw = msgspec.json.encode({**RECORD, **changes})
    except (OverflowError, UnicodeEncodeError):
        return
    try:
        got = parse(raw)
    except ValidationError:
        return
    assert got.event_type
    assert got.entity_id
