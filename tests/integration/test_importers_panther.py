"""How much of many products' records is understood: rule-test snippets of 69 log types, where these are at hand.

`TRUTH` says for each log type where a person who reads its records finds who, what and when. It was written from the
records and the products' documentation, not from what the importers look for, and a value counts as found only when
the event holds that value. `p_*` fields are the collector's own and are no truth.
"""

import csv
import gzip
import json
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from audit_pipelines.errors import ValidationError
from audit_pipelines.importers import FORMATS
from audit_pipelines.ledger.event import Event
from tests.integration.test_importers_real_logs import DATA

FOLDER = DATA / "panther-rule-tests"

pytestmark = [
    pytest.mark.needs_data,
    pytest.mark.skipif(not FOLDER.is_dir(), reason="the real logs are not here; set AUDIT_TEST_DATA to their folder"),
]

# Which importer a log type has; every other goes to `json`, without a map.
FORMAT_OF = {
    "AWS.CloudTrail": "cloudtrail",
    "Amazon.EKS.Audit": "kubernetes",
    "GitHub.Audit": "github",
    "Microsoft365.Audit.AzureActiveDirectory": "office365",
    "Microsoft365.Audit.SharePoint": "office365",
    "Okta.SystemLog": "okta",
}

AWS_ACTOR = (
    "userIdentity.sessionContext.sessionIssuer.arn userIdentity.arn userIdentity.userName userIdentity.principalId "
    "userIdentity.invokedBy userIdentity.accountId"
)
ENTRA_ACTOR = (
    "properties.initiatedBy.user.userPrincipalName properties.userPrincipalName properties.initiatedBy.app.displayName "
    "properties.servicePrincipalName properties.initiatedBy.user.id"
)
GCP_ACTOR = "protoPayload.authenticationInfo.principalEmail protoPayload.authenticationInfo.principalSubject"
# Several actors, types or times of a log type are alternatives, any of them right.
TRUTH: dict[str, tuple[str, str, str]] = {
    # log type: (who, what, when)
    "AWS.BedrockModelInvocation": ("identity.arn", "operation", "timestamp"),
    "AWS.CloudTrail": (AWS_ACTOR, "eventName", "eventTime"),
    "AWS.GuardDuty": ("resource.accessKeyDetails.userName", "type", "createdAt updatedAt service.eventFirstSeen"),
    "AWS.SecurityFindingFormat": ("", "Title Types.0 FindingProviderFields.Types.0", "CreatedAt UpdatedAt"),
    "AWS.VPCDns": ("", "query_type activity_name", "query_timestamp time"),
    "Amazon.EKS.Audit": (
        f"user.username {GCP_ACTOR}",
        "verb protoPayload.methodName",
        "requestReceivedTimestamp stageTimestamp timestamp time",
    ),
    "Anthropic.Activity": ("actor.email_address actor.user_id actor.api_key_id", "type", "created_at"),
    "AppOmni.Alerts": ("user.email user.name related.user.0", "event.action rule.name", "@timestamp timestamp"),
    "Auth0.Events": (
        "data.details.request.auth.user.email data.details.request.auth.user.name data.user_id",
        "data.type",
        "data.date",
    ),
    "Axonius.Activity": ("event.user event.params.user_name", "event.action", "time"),
    "Azure.Audit": (ENTRA_ACTOR, "operationName properties.activityDisplayName", "time"),
    "Azure.MonitorActivity": (
        "identity.claims.name identity.claims.upn identity.claims.appid identity.authorization.evidence.principalId",
        "operationName",
        "time",
    ),
    "Box.Event": ("created_by.login created_by.name created_by.id", "event_type", "created_at"),
    "CarbonBlack.Audit": ("loginName", "", "eventTime"),
    "Cloudflare.Firewall": ("", "Action", "Datetime"),
    "Cloudflare.HttpRequest": ("", "ClientRequestMethod", "EdgeStartTimestamp"),
    "Crowdstrike.DNSRequest": ("UserName event.UserName", "event_simpleName name", "timestamp ContextTimeStamp"),
    "Crowdstrike.DetectionSummary": (
        "UserName event.UserName",
        "ExternalApiType EventType event.ExternalApiType event.EventType",
        "timestamp ProcessStartTime event.ProcessStartTime",
    ),
    "Crowdstrike.EventStreams": (
        "event.UserId event.UserName",
        "event.OperationName metadata.eventType event.Name",
        "metadata.eventCreationTime event.UTCTimestamp",
    ),
    "Crowdstrike.Unknown": (
        "unknown_payload.UserName event.UserName",
        "unknown_payload.ExternalApiType unknown_payload.EventType event.ExternalApiType event.EventType",
        "unknown_payload.timestamp timestamp event.UTCTimestamp",
    ),
    "Databricks.Audit": ("userIdentity.email", "actionName", "timestamp"),
    "Docusign.Connect": ("data.senderEmail data.email data.userId", "event", "generatedDateTime"),
    "Dropbox.TeamEvent": ("actor.user.email actor.user.display_name", "event_type._tag", "timestamp"),
    "Duo.Administrator": ("username", "action", "timestamp isotimestamp"),
    "Duo.Authentication": ("user.name", "event_type", "timestamp isotimestamp"),
    "GCP.AuditLog": (GCP_ACTOR, "protoPayload.methodName protoPayload.metadata.methodName", "timestamp"),
    "GCP.HTTPLoadBalancer": ("", "httpRequest.requestMethod", "timestamp"),
    "GSuite.ActivityEvent": ("actor.email actor.profileId actor.key", "name", "id.time"),
    "GitHub.Audit": ("actor", "action", "@timestamp created_at at_sign_timestamp"),
    "GitLab.Production": ("username", "action", "time"),
    "Gravitational.TeleportAudit": ("user identity.user", "event", "time"),
    "Microsoft365.Audit.AzureActiveDirectory": ("UserId Actor.0.ID", "Operation", "CreationTime"),
    "Microsoft365.Audit.SharePoint": ("UserId", "Operation", "CreationTime"),
    "MicrosoftGraph.SecurityAlertV2": (
        "evidence.0.userAccount.userPrincipalName",
        "title category",
        "createdDateTime firstActivityDateTime",
    ),
    "MicrosoftIntune.AuditLogs": ("identity properties.Actor.UPN", "operationName", "time"),
    "MongoDB.OrganizationEvent": ("username publicKey", "eventTypeName", "created"),
    "Netskope.Audit": ("user", "audit_log_event", "timestamp"),
    "Notion.AuditLogs": ("event.actor.person.email event.actor.id", "event.type", "event.timestamp"),
    "OneLogin.Events": ("actor_user_name", "event_type_id", "created_at event_timestamp"),
    "OnePassword.ItemUsage": ("user.email user.name", "action", "timestamp"),
    "OnePassword.SignInAttempt": ("target_user.email", "type category", "timestamp"),
    "OpenAI.Audit": ("actor.session.user.email actor.api_key.user.email actor.api_key.id", "type", "effective_at"),
    "Panther.Audit": ("actor.attributes.email actor.name actor.id", "actionName", "timestamp"),
    "PushSecurity.Activity": ("new.email", "object", "timestamp"),
    "PushSecurity.Entities": ("new.email", "type", "timestamp"),
    "Salesforce.LoginAs": ("DELEGATED_USER_NAME USER_NAME USER_ID", "EVENT_TYPE", "TIMESTAMP_DERIVED"),
    "Salesforce.RealtimeEvent": ("USER_NAME", "EVENT_TYPE", "TIMESTAMP_DERIVED TIMESTAMP"),
    "SentinelOne.Activity": ("data.username userid", "activitytype", "createdat"),
    "Slack.AuditLogs": ("actor.user.email actor.user.name", "action", "date_create"),
    "Snowflake.GrantsToUsers": ("GRANTED_BY", "", "CREATED_ON"),
    "Snowflake.LoginHistory": ("USER_NAME", "EVENT_TYPE", "EVENT_TIMESTAMP"),
    "Snowflake.QueryHistory": ("USER_NAME", "QUERY_TYPE", "START_TIME"),
    "Snyk.GroupAudit": ("userId", "event", "created"),
    "Sublime.Audit": ("created_by.email_address", "type", "created_at"),
    "Sublime.MessageEvent": ("", "type", "created_at"),
    "Tailscale.Audit": ("event.actor.loginName event.actor.id", "event.action", "time fields.recorded"),
    "ThinkstCanary.Alert": ("", "AlertType Description", "Timestamp"),
    "Tines.Audit": ("user_email user_name", "operation_name", "created_at"),
    "Tracebit.Alert": ("principal.aws.arn principal.id", "event.operation", "timestamp event.time"),
    "Upwind.Detections": ("triggers.0.events.0.data.user_name", "type category", "first_seen_time last_seen_time"),
    "Okta.SystemLog": ("actor.alternateId actor.id", "eventType", "published"),
    "Windows.EventLogs": ("ExtraEventData.SubjectUserName UserID", "EventID", "TimeCreated"),
    "Wiz.Audit": ("user.name user.id serviceAccount.name", "action", "timestamp"),
    "Wiz.Detections": ("actors.0.name", "title", "createdAt"),
    "Wiz.IssuesWebhook": ("", "control.name", "issue.created"),
    "Zendesk.Audit": ("actor_name actor_id", "action", "created_at"),
    "Zoom.Operation": ("operator", "action", "time"),
    "Zscaler.ZIA.AdminAuditLog": ("event.adminid", "event.action", "event.time"),
}
# Rules over many products carry records of any of them under one log type: there every log type's places count.
MIXED = frozenset({"Asana.Audit", "OneLogin.Events"})
ASANA = ("actor.email actor.name", "event_type", "created_at")
NOBODY = ("", "unknown", "null", "...")


def everything() -> tuple[str, str, str]:
    columns = zip(ASANA, *TRUTH.values(), strict=True)
    return tuple(" ".join(dict.fromkeys(" ".join(column).split())) for column in columns)


def truths(details: Any, places: str) -> list[str | int | float]:
    """Return the values at the places, keys compared without case: some snippets went through a lake."""
    found = []
    for place in places.split():
        value = details
        for step in place.split("."):
            if isinstance(value, list):
                value = value[int(step)] if step.isdecimal() and int(step) < len(value) else None
            elif isinstance(value, dict):
                value = next((item for key, item in value.items() if key.lower() == step.lower()), None)
            else:
                value = None
        if isinstance(value, str | int | float) and str(value).strip().lower() not in NOBODY:
            found.append(value)
    return found


def same_text(truth: object, found: str | None) -> bool:
    """Tell whether the event has this value; an ARN's or a type's own part counts, as does another case."""
    if not found:
        return False
    one, other = str(truth).strip().lower(), found.lower()
    return one == other or one in other or (len(other) > 3 and other in one)


def same_time(truth: object, found: datetime | None) -> bool:
    if found is None:
        return False
    told = as_time(truth)
    return told is not None and abs((told - found).total_seconds()) < 1


def as_time(value: object) -> datetime | None:
    """Read a time in the ways that these snippets have, by other means than the product does."""
    text = str(value).removesuffix("(UTC)").strip()
    try:
        number = float(text)
    except ValueError:
        try:
            read = datetime.fromisoformat(text.replace(" +0000", "+00:00"))
        except ValueError:
            return None
        return read if read.tzinfo else read.replace(tzinfo=UTC)
    while number > 1e11:
        number /= 1000
    return datetime.fromtimestamp(number, UTC)


def event_of(fmt: str, details: Any) -> Event | None:
    try:
        return FORMATS[fmt](json.dumps(details).encode())
    except ValidationError:
        return None


def snippets() -> Iterator[tuple[str, Any]]:
    with gzip.open(FOLDER / "events.ndjson.gz") as lines, (FOLDER / "labels.csv").open(newline="") as labels:
        for line, label in zip(lines, csv.DictReader(labels), strict=True):
            yield label["log_type"], json.loads(line)["details"]


def judged(details: Any) -> Any:
    """Return the record itself where Azure has wrapped it as text: the envelope did nothing."""
    log = (details.get("properties") or {}).get("log") if isinstance(details.get("properties"), dict) else None
    return json.loads(log) if isinstance(log, str) and log.startswith("{") else details


def test_who_what_and_when_of_many_products() -> None:
    union = everything()
    held: dict[str, Counter[str]] = defaultdict(Counter)
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for log_type, details in snippets():
        fmt = FORMAT_OF.get(log_type, "json")
        if "protoPayload" in details:
            fmt = "json"  # Google's form of a Kubernetes event
        event, body = event_of(fmt, details), judged(details)
        places = union if log_type in MIXED else TRUTH[log_type]
        held[log_type]["records"] += 1
        found[log_type]["records"] += event is not None
        for column, where, same, value in (
            ("actor", places[0], same_text, event and event.actor),
            ("event type", places[1], same_text, event and event.event_type),
            ("time", places[2], same_time, event and event.occurred_at),
        ):
            if told := truths(body, where):
                held[log_type][column] += 1
                found[log_type][column] += any(same(one, value) for one in told)
    assert len(held) == 69
    columns = ("records", "actor", "event type", "time")
    lines = [f"{'log type':42}" + "".join(f"{column:>14}" for column in columns)]
    for log_type in sorted(held, key=lambda name: -held[name]["records"]):
        shown = (f"{found[log_type][column]}/{held[log_type][column]}" for column in columns)
        lines.append(f"{log_type:42}" + "".join(f"{cell:>14}" for cell in shown))
    total, right = sum(held.values(), Counter()), sum(found.values(), Counter())
    shares = {column: right[column] / total[column] for column in columns}
    lines.append(f"{'all':42}" + "".join(f"{right[column]}/{total[column]}".rjust(14) for column in columns))
    lines.append(f"{'share':42}" + "".join(f"{share:14.1%}" for share in shares.values()))
    sys.stdout.write("\n" + "\n".join(lines) + "\n")
    assert shares["actor"] >= 0.85
    assert shares["event type"] >= 0.97
    assert shares["time"] >= 0.90
