"""Reading JSON of a product that has no importer: by the names that audit logs commonly give to actor, time and type.

One fixed table, the same for every record, so that a record becomes the same event whatever stands beside it in the
file. `proposing` writes what hit as a map that a person can correct. No product gets code here: a product
whose records need thought gets a module, or a map.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, Generic, Literal, NamedTuple, TypeVar

from audit_pipelines.errors import ValidationError
from audit_pipelines.importers.assembling import Meaning, build
from audit_pipelines.importers.fields import address, decode_object, utc_moment
from audit_pipelines.importers.outcomes import DENIED_TEXT, product_outcome
from audit_pipelines.importers.spelling import is_machine, person
from audit_pipelines.ledger.event import Event

Column = Literal["time", "event_type", "kind", "actor", "actor_kind", "entity", "ip", "user_agent", "outcome", "error"]
Path = tuple[str | int, ...]
T = TypeVar("T")

# Names are compared without case, `_`, `-`, `.`, `@` and spaces. The order is the order of preference: what says one
# thing only comes before what says many (`eventName` before `type`), what people log in with before what they are
# called. `name~id.applicationName` counts only where the second path is there too.
_NAMES: dict[Column, str] = {
    "time": """
        eventTime occurredAt eventTimestamp time timestamp published id.time createdAt createdDateTime creationTime
        dateCreate activityDateTime isoTimestamp eventCreationTime metadata.eventCreationTime UTCTimestamp created
        createdOn creationDate timeCreated date datetime queryTimestamp generatedDateTime effectiveAt loggedAt
        edgeStartTimestamp startTime timestampDerived contextTimestamp processStartTime requestReceivedTimestamp
        requestMetadata.requestAttributes.time firstActivityDateTime updatedAt ts when recorded fields.recorded
        event.created receiveTimestamp startTimestamp firstSeenTime detectedAt
    """,
    "event_type": """
        eventName eventTypeName methodName apiOperation api.operation operationName operation eventSimpleName
        actionName eventType eventType.tag auditEvent auditLogEvent event.action event.type action
        activityDisplayName activityName activityType activity name~id.applicationName events.name event eventAction
        actionType eventTypeId eventId~channel queryType externalApiType metadata.eventType metadata.methodName
        alertType type subtype discriminator.subtype ruleName rule.name control.name types
        findingProviderFields.types title messageTitle category object kind
        httpRequest.requestMethod clientRequestMethod requestMethod httpMethod method
    """,
    "kind": """
        sourceType categoryType objectType resourceType resource.resourceType target.type entity.type
        entityType category auditLogType object
    """,
    "actor": """
        userIdentity.sessionContext.sessionIssuer.arn userIdentity.email userIdentity.arn userIdentity.userName
        userIdentity.principalId userIdentity.invokedBy
        authenticationInfo.principalEmail authenticationInfo.principalSubject
        initiatedBy.user.userPrincipalName initiatedBy.user.displayName initiatedBy.user.id
        initiatedBy.app.displayName initiatedBy.app.servicePrincipalId
        actor.userPrincipalName actor.upn actor.email actor.emailAddress actor.person.email actor.user.email
        actor.session.user.email actor.apiKey.user.email actor.alternateId actor.loginName actor.login
        actor.attributes.email actor.userName actor.user.name actor.name actor.displayName actor.user.displayName
        actor.apiKeyId actor.apiKey.id actor.user.id actor.id actor.gid actor
        principal.email principal.userName principal.name principal.aws.arn principal.id
        identity.claims.upn identity.claims.name identity.claims.appid identity.arn
        identity.authorization.evidence.principalId identity caller
        userPrincipalName actorEmail actorUserName actorName userEmail details.request.auth.user.email
        details.request.auth.user.name user.email user.userPrincipalName user.login user.loginName user.userName
        user.name user.id user userName loginName login operator adminEmail adminName adminId admin
        createdBy.login createdBy.email createdBy.emailAddress createdBy.userName createdBy.name createdBy.id createdBy
        performedBy initiator requestedBy executedBy email urNormalized
        senderEmail sender.email sender.login actorId actorUserId userId subjectUserName targetUser.email
        grantedBy serviceAccount.name serviceAccount.id serviceAccount
        servicePrincipalName servicePrincipalId identity.user evidence.userAccount.userPrincipalName related.user
        delegatedUserName publicKey clientId
    """,
    "actor_kind": "actor.type actor.actorType principal.type userIdentity.type userType actorType",
    "entity": """
        target.id target.name target targetResources.id targetResources.displayName objectRef.name resource.gid
        resource.id resource.name resourceId resourceName resource entity.workspace.id entity.channel.id
        entity.user.id entity.file.id entity.app.id entity.usergroup.id entity.id entity.name
        sourceId source.id object.id object.name object itemUuid item.id
        assets.displayName targetUserName repo repository project databaseName entityName fileName documentId
        envelopeId bucketName organizationId orgId tenantId accountId
    """,
    "ip": """
        sourceIPAddress callerIpAddress clientIp clientIpAddress client.ipAddress actorIpAddress actorIp
        actor.ipAddress actor.session.ipAddress context.ipAddress context.clientIpAddress context.ip
        requestMetadata.callerIp httpRequest.remoteIp httpRequest.clientIp sourceIp sourceIPs srcIp srcAddr
        srcEndpoint.ip remoteIp remoteAddr remoteAddress addr.remote ipAddress ip ipAddr userIp requestIp
        accessDevice.ip request.ip details.request.ip callerIp origin.geoLocation.ipAddress
        initiatedBy.user.ipAddress identity.ipAddress aip xForwardedFor externalIp
    """,
    "user_agent": """
        userAgent actor.userAgent actor.session.userAgent client.userAgent.rawUserAgent client.userAgent
        context.userAgent context.ua requestMetadata.callerSuppliedUserAgent httpRequest.userAgent
        requestUserAgent request.userAgent request.userAgent.raw details.request.userAgent
        clientRequestUserAgent userAgentHeader userAgentOriginal browserType ua
    """,
    "outcome": """
        outcome.result outcome eventOutcome actionResult resultStatus result resultType loginStatus isSuccess success
        succeeded status.errorCode responseStatus.code response.statusCode executionStatus statusCode status
        httpStatus httpRequest.status returnCode decision
    """,
    "error": "errorCode error.code error errorMessage failureReason",
}
# Objects that products put around a record; below them the same names count, a little less.
_WRAPPERS = frozenset({"data", "event", "payload", "protopayload", "properties", "detail", "details", "record", "new",
                       "message", "extraeventdata", "jsonpayload", "request"})  # fmt: skip
_WRAPPED_COSTS = 12
_MAX_WRAPPERS = 3
_NOBODY = frozenset({"", "-", "--", "...", "n/a", "none", "null", "unknown", "not available", "undefined"})
# An action that says only what was done to something says too little: `update` becomes `account_setting:update`.
_BARE_VERBS = frozenset({
    "add", "change", "create", "created", "delete", "deleted", "disable", "edit", "enable", "get", "list", "modify",
    "read", "remove", "set", "update", "updated", "view", "write",
})  # fmt: skip
_MACHINE_KINDS = frozenset({
    "api_key", "app", "application", "awsservice", "bot", "machine", "service", "service_account",
    "serviceaccount", "serviceprincipal", "service_principal", "system",
})  # fmt: skip
_NAMING = re.compile(r"@|\d{6}|[\x00-\x1f{}]|\d+\.\d+\.\d+\.\d+")
_ID_KEYS = frozenset({"arn", "displayname", "gid", "id", "name", "uuid"})
_PERSON_KINDS = ("user", "username", "useremail", "member", "person")


class _Node:
    """A step of the table, as a tree over names: one walk over a record finds all candidates of all columns."""

    __slots__ = ("children", "columns")

    def __init__(self) -> None:
        self.children: dict[str, _Node] = {}
        self.columns: list[tuple[Column, int, Path | None]] = []


@lru_cache(maxsize=16384)
def _folded(key: str) -> str:
    return re.sub(r"[_\-.@ ]", "", key).lower()


def _tree() -> _Node:
    root = _Node()
    for column, names in _NAMES.items():
        for rank, name in enumerate(names.split()):
            spelled, _, beside = name.partition("~")
            node = root
            for step in _steps(spelled):
                node = node.children.setdefault(step, _Node())
            node.columns.append((column, rank, _steps(beside) if beside else None))
    return root


def _steps(name: str) -> tuple[str, ...]:
    return tuple(_folded(step) for step in name.split("."))


_ROOT = _tree()


@dataclass(frozen=True, slots=True)
class Hit:
    """A value that may be a column's: how good its name is (low), where it stands as the record spells it."""

    cost: int
    path: Path
    value: Any


def parse(record: bytes) -> Event:
    """Map one JSON object of an unknown product by the common names; raise `ValidationError` naming every fault.

    Refuses a record in which nothing says what happened. Where no time is found, the time of receipt counts.
    """
    body = decode_object(record)
    found = understand(body)
    if found.event_type is None:
        raise ValidationError(
            "expected a field that says what happened, such as action, event_type, operation or type, got none; "
            "say where it stands with --map"
        )
    event_type = found.event_type.value
    return build(
        Meaning(
            event_type=event_type,
            entity_type=found.entity_type or "activity",
            entity_id=found.entity.value if found.entity else event_type,
            details=body,
            occurred_at=found.time.value if found.time else None,
            actor=found.actor.value if found.actor else None,
            is_machine=found.is_machine,
            outcome=found.outcome.value if found.outcome else None,
            address=found.ip.value if found.ip else None,
            user_agent=found.user_agent.value if found.user_agent else None,
        ),
        len(record),
    )


class Found(NamedTuple, Generic[T]):
    """What a column's value was read as, where it stands, and how good the name is (low)."""

    value: T
    path: Path
    cost: int


@dataclass(slots=True)
class Understood:
    """What the table finds in one record, column by column."""

    time: Found[datetime] | None = None
    event_type: Found[str] | None = None
    kind: Found[str] | None = None
    """What a bare verb was done to; already part of `event_type` then."""
    actor: Found[str] | None = None
    is_machine: bool = False
    entity: Found[str] | None = None
    entity_type: str | None = None
    entity_type_path: Path | None = None
    """Where the kind of the entity stands, if a value beside its id says it."""
    ip: Found[str] | None = None
    user_agent: Found[str] | None = None
    outcome: Found[str] | None = None


def understand(body: dict[str, Any]) -> Understood:
    """Return what the common names say about a record."""
    hits: dict[Column, list[Hit]] = defaultdict(list)
    _walk(body, _ROOT, (), 0, hits)
    for found in hits.values():
        if len(found) > 1:
            found.sort(key=lambda hit: hit.cost)
    result = Understood(
        time=_first(hits.get("time"), _as_moment),
        event_type=_first(hits.get("event_type"), _as_type),
        actor=_first(hits.get("actor"), _as_actor),
        ip=_first(hits.get("ip"), _as_address),
        user_agent=_first(hits.get("user_agent"), _as_text),
        outcome=_first(hits.get("outcome"), product_outcome),
    )
    action = result.event_type
    if action and action.value.lower() in _BARE_VERBS:
        result.kind = _first((hit for hit in hits.get("kind", ()) if hit.path != action.path), _as_type)
        if result.kind:
            result.event_type = action._replace(value=f"{result.kind.value}:{action.value}")
    if result.actor:
        kind = _first(hits.get("actor_kind"), _as_label)
        result.is_machine = is_machine(result.actor.value) or bool(kind and kind.value.lower() in _MACHINE_KINDS)
    error = _first(hits.get("error"), _as_error)
    if error and (result.outcome is None or result.outcome.value != "denied"):
        result.outcome = error
    result.entity = _first(hits.get("entity"), _as_label)
    if result.entity:
        result.entity_type, result.entity_type_path = _kind_of_entity(body, result.entity.path, result.entity.value)
        if result.entity_type.lower() in _PERSON_KINDS:
            result.entity = result.entity._replace(value=person(result.entity.value) or result.entity.value)
    return result


def _walk(value: dict[str, Any], node: _Node, path: Path, wrapped: int, hits: dict[Column, list[Hit]]) -> None:
    children = node.children
    for key, item in value.items():
        name = _folded(key)
        child = children.get(name)
        if child is not None:
            here = (*path, key)
            told = item
            if isinstance(item, list) and item:
                told, here = item[0], (*here, 0)
            if isinstance(told, dict):
                if child.children:
                    _walk(told, child, here, wrapped, hits)
            elif told is not None:
                for column, rank, beside in child.columns:
                    if beside is None or _has(value, beside):
                        hits[column].append(Hit(rank + wrapped * _WRAPPED_COSTS, here, told))
        if (
            node is _ROOT
            and isinstance(item, dict)
            and wrapped < _MAX_WRAPPERS
            and (name in _WRAPPERS or name.endswith("payload"))
        ):
            _walk(item, node, (*path, key), wrapped + 1, hits)


def _has(value: Any, path: Path) -> bool:
    for step in path:
        if not isinstance(value, dict):
            return False
        value = next((item for key, item in value.items() if _folded(key) == step), None)
    return value is not None


def _first(hits: Iterable[Hit] | None, read: Callable[[Any], T | None]) -> Found[T] | None:
    for hit in hits or ():
        if (found := read(hit.value)) is not None:
            return Found(found, hit.path, hit.cost)
    return None


def _as_moment(value: Any) -> datetime | None:
    try:
        found = utc_moment(value, "time")
    except ValidationError:
        return None
    # A small number is a duration, a count or an id, and not the first months after 1970.
    return found if found is not None and found.year > 1971 else None


def _as_text(value: Any) -> str | None:
    return value.strip() or None if isinstance(value, str) else None


def _as_label(value: Any) -> str | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value.strip() if isinstance(value, str) and value.strip().lower() not in _NOBODY else None


def _as_type(value: Any) -> str | None:
    """Return a label that repeats from event to event; a sentence would be a type of its own, with names in clear."""
    told = _as_label(value)
    return told if told is not None and len(told) <= 120 and told.count(" ") < 10 and not _NAMING.search(told) else None


def _as_actor(value: Any) -> str | None:
    return person(_as_label(value))


def _as_address(value: Any) -> str | None:
    return value if isinstance(value, str) and address(value)[0] else None


def _as_error(value: Any) -> str | None:
    if isinstance(value, bool):
        return "failure" if value else None
    told = _as_label(value)
    if told is None or told in ("0", "200"):
        return None
    return "denied" if DENIED_TEXT.search(told) else "failure"


def _kind_of_entity(body: dict[str, Any], path: Path, name: str) -> tuple[str, Path | None]:
    """Return the `type` that stands beside the entity's id, else what its key says: `envelopeId` is an envelope."""
    names = [step for step in path if isinstance(step, str)]
    last = _folded(names[-1])
    if last in _ID_KEYS and len(names) > 1:
        parent: Any = body
        for step in path[:-1]:
            parent = parent[step]
        for key in ("type", "resource_type", "resourceType", "kind"):
            told = parent.get(key) if isinstance(parent, dict) else None
            if isinstance(told, str) and told and told != name:
                return told, (*path[:-1], key)
        last = _folded(names[-2])
    if last.endswith(_PERSON_KINDS) or "@" in name:
        return "user", None
    if last == "resourceid" and "/providers/" in name.lower():
        # An Azure resource says its kind itself: …/providers/Microsoft.Storage/storageAccounts/name.
        parts = re.split("/providers/", name, flags=re.IGNORECASE)[-1].split("/")
        return "/".join(parts[:2]), None
    return last.removesuffix("uuid").removesuffix("id").removesuffix("name") or "record", None
