"""Who acted in a CloudTrail record, as one stable name per person, role or service.

The rule throughout: a name that the caller can choose (a role session's, a federation session's) is never the actor,
or each session would be a new actor without a past. The exception is IAM Identity Center, which sets it itself.
"""

import re
from typing import Any

_ASSUMED_ROLE = re.compile(r"arn:(aws[a-z-]*):sts::(\d*):assumed-role/([^/]+)/(.+)")
_IDENTITY_CENTER = ":role/aws-reserved/sso.amazonaws.com/"
_HIDDEN = "HIDDEN_DUE_TO_SECURITY_REASONS"


def text_at(value: Any, *path: str) -> str | None:
    """Return the non-empty text at `path` inside nested objects, None where anything else is met on the way."""
    for key in path:
        if not isinstance(value, dict):
            return None
        value = value.get(key)
    return value if isinstance(value, str) and value else None


def partition(identity: Any, region: str | None) -> str:
    """Return the AWS partition for ARNs made here: that of the caller's own ARN, else the region's."""
    arn = text_at(identity, "arn") or text_at(identity, "sessionContext", "sessionIssuer", "arn")
    if arn and arn.startswith("arn:aws"):
        return arn.split(":", 2)[1]
    if region and region.startswith("cn-"):
        return "aws-cn"
    return "aws-us-gov" if region and region.startswith("us-gov-") else "aws"


def actor_name(identity: Any, region: str | None) -> str | None:
    """Return the actor of a `userIdentity` (docs/importers.md has the table), None where it names nobody."""
    arn, user, account = text_at(identity, "arn"), text_at(identity, "userName"), text_at(identity, "accountId")
    principal, service = text_at(identity, "principalId"), text_at(identity, "invokedBy")
    issuer = text_at(identity, "sessionContext", "sessionIssuer", "arn")
    iam = f"arn:{partition(identity, region)}:iam::{account or ''}"
    match text_at(identity, "type"):
        case "Root":
            return arn or (f"{iam}:root" if account else user)
        case "IAMUser":
            # A failed console login carries no ARN: the same person must not become a second actor by failing.
            return arn or (f"{iam}:user/{user}" if user else principal)
        case "AssumedRole" | "Role":
            return _role(arn, issuer) or principal or user
        case "FederatedUser":
            return issuer or arn or principal
        case "SAMLUser" | "WebIdentityUser":
            provider = text_at(identity, "identityProvider")
            return f"{provider}/{user}" if provider and user else user or principal
        case "IdentityCenterUser":
            return _on_behalf_of(identity) or user or principal
        case "AWSAccount":
            # A unique id, a colon and a session name for roles of other accounts: the session is not the role.
            return "/".join(part for part in (account, (principal or "").split(":")[0]) if part) or None
        case "AWSService":
            return service or user or principal
        case _:
            return _role(arn, issuer) or service or _on_behalf_of(identity) or user or principal or account


def _role(arn: str | None, issuer: str | None) -> str | None:
    session = _ASSUMED_ROLE.fullmatch(arn or "")
    if session and issuer and _IDENTITY_CENTER in issuer:
        return session[4]
    if issuer:
        return issuer
    return f"arn:{session[1]}:iam::{session[2]}:role/{session[3]}" if session else arn


def _on_behalf_of(identity: Any) -> str | None:
    user, store = text_at(identity, "onBehalfOf", "userId"), text_at(identity, "onBehalfOf", "identityStoreArn")
    return f"{store}/{user}" if store and user else user


def own_identifiers(identity: Any) -> frozenset[str]:
    """Return the texts that give a person away wherever they stand: ARN, key ids, user and session names.

    A role's own name is not among them: it is no person, and policies and resources are named after it.
    """
    account = text_at(identity, "accountId")
    found = {text_at(identity, key) for key in ("principalId", "accessKeyId", "userName")}
    if arn := text_at(identity, "arn"):
        session = _ASSUMED_ROLE.fullmatch(arn)
        found |= {arn, session[4] if session else None}
    if text_at(identity, "type") == "FederatedUser":
        found |= {text_at(identity, "sessionContext", "sessionIssuer", key) for key in ("arn", "userName")}
    return frozenset(text for text in found if text and text not in (account, _HIDDEN))
