"""How fast each importer maps records, beside CloudTrail's: no files, no database, one process.

The records are made up after the products' documentation, as wide as real ones (0.3 to 1.6 KB), and differ in person,
address and id, so that what the importers remember of earlier records helps as much as it would in a file.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import msgspec

from audit_pipelines.importers import FORMATS
from audit_pipelines.importers.map_file import read_map
from benchmarks.rates import Figure

RECORDS: Final = 3_000
REPEATS: Final = 5
BROWSER: Final = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"
WHEN: Final = "2026-05-04T03:02:01.125Z"
MAP: Final = """
version = 1
[event_type]
from = ["action"]
[time]
from = ["date_create"]
formats = ["epoch_s"]
[actor]
from = ["actor.user.email"]
[entity]
type = ["entity.type"]
id = ["entity.app.id"]
[ip]
from = ["context.ip_address"]
[user_agent]
from = ["context.ua"]
"""


def importer_figures() -> Iterator[Figure]:
    """Yield for each importer its records per second of processor time ÷ CloudTrail's, measured in turn."""
    parsers: dict[str, Callable[[bytes], object]] = {**FORMATS, "json, with a map": read_map(MAP, "benchmark").parse}
    rates: dict[str, list[float]] = {name: [] for name in _MADE}
    lines = {name: [msgspec.json.encode(make(number)) for number in range(RECORDS)] for name, make in _MADE.items()}
    for _ in range(REPEATS):
        for name, records in lines.items():
            parse = parsers[name]
            started = time.process_time()
            for record in records:
                parse(record)
            rates[name].append(RECORDS / (time.process_time() - started))
    for name, measured in rates.items():
        ratios = [rate / beside for rate, beside in zip(measured, rates["cloudtrail"], strict=True)]
        size = sum(map(len, lines[name])) // RECORDS
        beside = max(measured) / max(rates["ndjson"])
        note = f"{max(measured):,.0f} records/s of {size:,} bytes, {beside:.2f} of ndjson's"
        yield Figure(f"import {name} ÷ import cloudtrail", ratios, 0.5, note=note)


def _person(number: int) -> str:
    return f"person.{number % 211}@example.org"


def _address(number: int) -> str:
    return f"198.51.{number % 100}.{number % 251}"


def _cloudtrail(number: int) -> dict[str, Any]:
    role = f"arn:aws:iam::111122223333:role/team-{number % 37}"
    session = {
        "sessionIssuer": {"type": "Role", "principalId": "AROAEXAMPLE", "arn": role, "accountId": "111122223333"},
        "attributes": {"creationDate": WHEN, "mfaAuthenticated": "false"},
    }
    return {
        "eventVersion": "1.10",
        "userIdentity": {
            "type": "AssumedRole",
            "principalId": f"AROAEXAMPLE:{_person(number)}",
            "arn": f"arn:aws:sts::111122223333:assumed-role/team-{number % 37}/{_person(number)}",
            "accountId": "111122223333",
            "accessKeyId": "ASIAEXAMPLE000000001",
            "sessionContext": session,
        },
        "eventTime": "2026-05-04T03:02:01Z",
        "eventSource": "ec2.amazonaws.com",
        "eventName": "DescribeInstances",
        "awsRegion": "eu-central-1",
        "sourceIPAddress": _address(number),
        "userAgent": BROWSER,
        "requestParameters": {"instancesSet": {"items": [{"instanceId": f"i-{number:017x}"}]}, "filterSet": {}},
        "responseElements": None,
        "requestID": f"request-{number}",
        "eventID": f"event-{number}",
        "readOnly": True,
        "eventType": "AwsApiCall",
        "managementEvent": True,
        "recipientAccountId": "111122223333",
        "eventCategory": "Management",
        "tlsDetails": {"tlsVersion": "TLSv1.3", "cipherSuite": "TLS_AES_128_GCM_SHA256"},
    }


def _github(number: int) -> dict[str, Any]:
    return {
        "@timestamp": 1777863721125 + number,
        "_document_id": f"document-{number}",
        "action": "git.clone",
        "actor": f"person-{number % 211}",
        "actor_id": number % 211,
        "actor_ip": _address(number),
        "actor_is_bot": False,
        "actor_location": {"country_code": "AT"},
        "business": "acme",
        "business_id": 7,
        "created_at": 1777863721125 + number,
        "external_identity_nameid": _person(number),
        "hashed_token": "bWFkZSB1cA==",
        "operation_type": "access",
        "org": "acme",
        "org_id": 8,
        "programmatic_access_type": "Personal access token (classic)",
        "public_repo": False,
        "repo": f"acme/service-{number % 50}",
        "repo_id": number % 50,
        "token_id": 99,
        "token_scopes": "repo,workflow",
        "transport_protocol_name": "http",
        "user_agent": "git/2.45.1",
        "visibility": "private",
    }


def _json(number: int) -> dict[str, Any]:
    return {
        "id": f"chat-{number}",
        "date_create": 1777863721 + number,
        "action": "app_scopes_expanded",
        "actor": {"type": "user", "user": {"id": f"U{number % 211}", "name": "person", "email": _person(number)}},
        "entity": {"type": "app", "app": {"id": f"A{number % 9}", "name": "Polls", "is_distributed": True}},
        "context": {
            "location": {"type": "workspace", "id": "T1", "name": "acme", "domain": "acme"},
            "ua": BROWSER,
            "ip_address": _address(number),
        },
        "details": {"new_scopes": ["channels:read", "chat:write", "team:read"], "previous_scopes": ["channels:read"]},
    }


def _kubernetes(number: int) -> dict[str, Any]:
    account = f"system:serviceaccount:shop:worker-{number % 37}"
    reason = (
        f'RBAC: allowed by RoleBinding "worker/shop" of Role "worker" to ServiceAccount "worker-{number % 37}/shop"'
    )
    return {
        "kind": "Event",
        "apiVersion": "audit.k8s.io/v1",
        "level": "Metadata",
        "auditID": f"audit-{number}",
        "stage": "ResponseComplete",
        "requestURI": f"/apis/apps/v1/namespaces/shop/deployments/web-{number % 50}",
        "verb": "get",
        "user": {
            "username": account,
            "uid": f"uid-{number % 37}",
            "groups": ["system:serviceaccounts", "system:serviceaccounts:shop", "system:authenticated"],
            "extra": {"authentication.kubernetes.io/pod-name": [f"worker-{number % 37}-0"]},
        },
        "sourceIPs": [_address(number)],
        "userAgent": "worker/v0.0.0 (linux/amd64) kubernetes/$Format",
        "objectRef": {
            "resource": "deployments",
            "namespace": "shop",
            "name": f"web-{number % 50}",
            "apiGroup": "apps",
            "apiVersion": "v1",
        },
        "responseStatus": {"metadata": {}, "code": 200},
        "requestReceivedTimestamp": "2026-05-04T03:02:01.125000Z",
        "stageTimestamp": "2026-05-04T03:02:01.130000Z",
        "annotations": {"authorization.k8s.io/decision": "allow", "authorization.k8s.io/reason": reason},
    }


def _ndjson(number: int) -> dict[str, Any]:
    return {
        "occurred_at": WHEN,
        "actor": _person(number),
        "event_type": "record.read",
        "entity_type": "record",
        "entity_id": f"record-{number % 977}",
        "ip_address": _address(number),
        "user_agent": BROWSER,
        "outcome": "success",
        "details": {"rows": number % 17, "app": "records", "region": "eu-1"},
    }


def _ocsf(number: int) -> dict[str, Any]:
    role = f"arn:aws:iam::111122223333:role/team-{number % 37}"
    return {
        "class_uid": 6003,
        "class_name": "API Activity",
        "category_uid": 6,
        "category_name": "Application Activity",
        "activity_id": 2,
        "activity_name": "Read",
        "type_uid": 600302,
        "type_name": "API Activity: Read",
        "time": 1777863721125 + number,
        "severity_id": 1,
        "severity": "Informational",
        "status_id": 1,
        "status": "Success",
        "metadata": {
            "uid": f"event-{number}",
            "version": "1.1.0",
            "profiles": ["cloud", "datetime"],
            "product": {"name": "CloudTrail", "vendor_name": "AWS", "version": "1.08"},
        },
        "cloud": {"provider": "AWS", "region": "eu-central-1"},
        "actor": {
            "user": {
                "type": "AssumedRole",
                "uid": f"arn:aws:sts::111122223333:assumed-role/team-{number % 37}/{_person(number)}",
                "uid_alt": f"AROAEXAMPLE:{_person(number)}",
                "credential_uid": "ASIAEXAMPLE000000001",
                "account": {"uid": "111122223333"},
            },
            "session": {"issuer": role, "created_time": 1777860000000, "is_mfa": False},
        },
        "api": {"operation": "DescribeInstances", "service": {"name": "ec2.amazonaws.com"}, "version": "2016-11-15"},
        "http_request": {"user_agent": BROWSER},
        "src_endpoint": {"ip": _address(number)},
        "resources": [{"uid": f"i-{number:017x}", "type": "AWS::EC2::Instance"}],
    }


def _office365(number: int) -> dict[str, Any]:
    return {
        "CreationTime": "2026-05-04T03:02:01",
        "Id": f"record-{number}",
        "Operation": "FileAccessed",
        "OrganizationId": "organization",
        "RecordType": 6,
        "UserKey": f"i:0h.f|membership|10032{number % 211}@live.com",
        "UserType": 0,
        "Version": 1,
        "Workload": "SharePoint",
        "ClientIP": _address(number),
        "UserId": _person(number),
        "ObjectId": f"https://acme.sharepoint.com/sites/team/Shared Documents/plan-{number % 977}.docx",
        "AppAccessContext": {"AADSessionId": "session", "CorrelationId": "correlation", "UniqueTokenId": "token"},
        "CorrelationId": f"correlation-{number}",
        "EventSource": "SharePoint",
        "ItemType": "File",
        "ListId": "list",
        "Site": "site",
        "UserAgent": BROWSER,
        "WebId": "web",
        "SiteUrl": "https://acme.sharepoint.com/sites/team/",
        "SourceFileExtension": "docx",
        "SourceFileName": f"plan-{number % 977}.docx",
        "SourceRelativeUrl": "Shared Documents",
        "HighPriorityMediaProcessing": False,
    }


def _okta(number: int) -> dict[str, Any]:
    place = {"city": "Graz", "state": "Styria", "country": "Austria", "geolocation": {"lat": 47.07, "lon": 15.44}}
    return {
        "actor": {
            "id": f"00u{number % 211}",
            "type": "User",
            "alternateId": _person(number),
            "displayName": f"Person {number % 211}",
            "detailEntry": None,
        },
        "client": {
            "userAgent": {"rawUserAgent": BROWSER, "os": "Linux", "browser": "CHROME"},
            "zone": "null",
            "device": "Computer",
            "id": None,
            "ipAddress": _address(number),
            "geographicalContext": place,
        },
        "device": None,
        "authenticationContext": {"authenticationStep": 0, "externalSessionId": f"session-{number}"},
        "displayMessage": "User single sign on to app",
        "eventType": "user.authentication.sso",
        "outcome": {"result": "SUCCESS", "reason": None},
        "published": WHEN,
        "securityContext": {"asNumber": 64496, "asOrg": "acme", "isp": "acme", "domain": "acme.at", "isProxy": False},
        "severity": "INFO",
        "debugContext": {"debugData": {"requestId": f"r-{number}", "dtHash": "00ff", "requestUri": "/app/payroll/sso"}},
        "legacyEventType": "app.auth.sso",
        "transaction": {"type": "WEB", "id": f"t-{number}", "detail": {}},
        "uuid": f"event-{number}",
        "version": "0",
        "request": {"ipChain": [{"ip": _address(number), "geographicalContext": place, "version": "V4"}]},
        "target": [{"id": "0oa1", "type": "AppInstance", "alternateId": "Payroll", "displayName": "Payroll"}],
    }


_MADE: Final[Mapping[str, Callable[[int], dict[str, Any]]]] = {
    "cloudtrail": _cloudtrail,
    "ndjson": _ndjson,
    "github": _github,
    "json": _json,
    "json, with a map": _json,
    "kubernetes": _kubernetes,
    "ocsf": _ocsf,
    "office365": _office365,
    "okta": _okta,
}
