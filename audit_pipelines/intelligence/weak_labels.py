"""Rules that name an event's category and risk from the words of its canonical text.

Here: the closed label sets, the words and the rules, in order, as data. Not here: learning (`classifiers`). They are
the baseline and the teacher: nobody labels audit events, so rules label what their words cover and the classifier
carries that over to words they do not know. Weak: a rule is an opinion, and agreement with rules is not truth.

The risk order follows what attackers do first to a trail: MITRE ATT&CK T1562 (impair defences), T1098 (account
manipulation), T1552 (unsecured credentials), T1537 (transfer of data).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Literal, get_args

from audit_pipelines.intelligence.render import TextParts, parse_text

Category = Literal[
    "authentication",
    "access",
    "data_access",
    "data_change",
    "data_export",
    "privilege_change",
    "configuration",
    "network",
    "logging_and_monitoring",
    "secrets_and_keys",
    "compute",
    "billing",
    "other",
]
Risk = Literal["low", "medium", "high", "critical"]
Verb = Literal["read", "create", "change", "delete", "stop", "export", "grant"]

CATEGORIES: Final[tuple[Category, ...]] = get_args(Category)
RISKS: Final[tuple[Risk, ...]] = get_args(Risk)
VERBS: Final[tuple[Verb, ...]] = get_args(Verb)


def _set(words: str) -> frozenset[str]:
    """Words separated by spaces; two words joined by `_` must stand side by side."""
    return frozenset(word.replace("_", " ") for word in words.split())


VERB_WORDS: Final[dict[Verb, frozenset[str]]] = {
    "read": _set(
        "read list get describe view show query search lookup head scan select fetch preview open check watch"
        " evaluate batch_get"
    ),
    "create": _set(
        "create add new insert register upload generate issue invite run start launch import enroll install execute"
    ),
    "change": _set(
        "update modify put set change edit patch write attach rotate enable rename move release reopen assign reset"
        " authorize manual join code restore accept approve replace tag untag send archive"
    ),
    "delete": _set("delete remove destroy purge drop terminate wipe erase cancel storno void"),
    "stop": _set(
        "stop disable deactivate suspend pause leave revoke detach bypass unprotect deregister reject lock"
        " block uninstall"
    ),
    "export": _set("export download share copy publish transfer exfiltrate print"),
    "grant": _set("grant assume impersonate elevate delegate promote escalate"),
}

MUTATING: Final = frozenset().union(*(VERB_WORDS[verb] for verb in VERBS if verb != "read"))
REMOVING: Final = VERB_WORDS["delete"] | VERB_WORDS["stop"]

_IMAGE = _set("snapshot db_snapshot image backup volume ami")
_LOGGING = _set(
    "logging trail cloudtrail guardduty detector alarm monitoring siem securityhub flow_log log_stream log_group"
    " log_config diagnostic_setting event_selector activity_stream audit_log audit_logging config_recorder"
)
_SECRETS = _set(
    "secret secretsmanager kms access_key api_key key credential certificate vault keyvault token ssh_public"
    " password_data service_key personal_access trust_anchor federation_token securestring"
)
_SIGN_IN = _set(
    "login logon logoff signin sign_in sign_out logout authentication mfa sso saml password session otp lockout"
    " authenticate verify verification two_factor 2fa login_profile user_auth log_in log_out"
)
_PRIVILEGE = _set(
    "role policy permission privilege admin administrator group member acl owner impersonation right"
    " principal assignment scope superuser sudo consent clusterrole binding rolebinding clusterrolebinding"
)
_ACCESS = _set(
    "access user account invite invitation assume impersonate exec console connect connection command guest profile"
    " service_account serviceaccount identity caller_identity"
)
_NETWORK = _set(
    "network firewall vpc subnet dns ingress egress security_group ip vpn gateway peering cidr route address_list"
    " load_balancer allow_list traffic domain resolver port networkpolicy router zone"
)
_MONEY = _set(
    "billing invoice payment refund charge subscription budget cost payroll claim billed salary case bank bank_account"
)
_COMPUTE = _set(
    "instance ec2 lambda function container pod cluster image vm virtual machine job node deployment bedrock"
    " snapshot volume ssm build pipeline workload virtualmachine task workflow daemonset statefulset cronjob"
)
_SETTINGS = _set(
    "config configuration setting preference feature flag rule integration webhook organization tenant workspace"
    " application app template plan version retention lifecycle attribute tag ruleset"
)
_SHIELDS = _set(
    "mfa encryption firewall protection public_access versioning antivirus policy security_policy branch rule waf"
    " allow_list restriction sso"
)
_VALUABLE = _set(
    "user role database db bucket cluster account vault secret key repository repo zone vpc organization tenant"
    " record patient file"
)
_FORWARDING = _set("forwarding forward inbox_rule transport_rule anonymous_link sharing")
_NOTHING = _set("test ping health heartbeat healthcheck keepalive noop comment")
_ALERTS = _set("alert detection threat malware ransomware anomaly vulnerability malicious suspicious")
_GIVING = _set("attach put grant add assign promote elevate escalate")
_ALL_POWER = _set("administrator admin root owner superuser administrator_access global_admin everything full_access")


@dataclass(frozen=True)
class Rule:
    """Gives `label` to a text that has at least one word of every set.

    `act` is sought among the event type's words only and not at all in a reading call (`describe tags` tags nothing);
    `about` in the whole text.
    """

    label: str
    about: tuple[frozenset[str], ...] = ()
    act: frozenset[str] | None = None


# The order decides: the first rule that fits gives the label.
CATEGORY_RULES: Final[tuple[Rule, ...]] = (
    Rule("other", (_NOTHING,)),
    Rule("billing", (_MONEY,)),
    Rule("logging_and_monitoring", (_LOGGING | _ALERTS,)),
    Rule("data_export", act=VERB_WORDS["export"]),
    Rule("data_export", (_IMAGE, _set("attribute permission")), MUTATING),
    Rule("data_export", (_FORWARDING,), MUTATING),
    Rule("network", (_NETWORK,)),
    Rule("secrets_and_keys", (_SECRETS,)),
    Rule("authentication", (_SIGN_IN,)),
    Rule("privilege_change", (_PRIVILEGE,), MUTATING),
    Rule("access", (_ACCESS,)),
    Rule("compute", (_COMPUTE,)),
    Rule("configuration", (_SETTINGS,), MUTATING),
)
PLAIN_RULES: Final[tuple[Rule, ...]] = (
    Rule("data_access", act=VERB_WORDS["read"]),
    Rule("data_change", act=MUTATING),
)

RISK_RULES: Final[tuple[Rule, ...]] = (
    Rule("low", (_NOTHING,)),
    Rule("critical", (_LOGGING,), REMOVING),
    Rule("critical", (_set("malware ransomware"),)),
    Rule("critical", (_set("backup kms database db vault"),), VERB_WORDS["delete"]),
    Rule("critical", (_set("organization organisation"),), _set("leave")),
    Rule("critical", (_ALL_POWER, _PRIVILEGE), _GIVING),
    Rule("high", (_SHIELDS,), REMOVING),
    Rule("high", (_VALUABLE,), VERB_WORDS["delete"]),
    Rule("high", (_LOGGING,), MUTATING),
    Rule("high", (_set("any_address everyone public publicly"),), MUTATING),
    Rule("high", act=VERB_WORDS["export"]),
    Rule("high", (_FORWARDING,), MUTATING),
    Rule("high", (_IMAGE, _set("attribute permission")), MUTATING),
    Rule("high", (_set("secret secretsmanager password_data federation_token"),), _set("get read batch create update")),
    Rule("high", (_SECRETS,), _set("create add generate send put import")),
    Rule(
        "high",
        (_set("login_profile impersonation impersonate send_command run_command execute_command exec start_session"),),
    ),
    Rule("high", (_PRIVILEGE,), _GIVING | _set("update change set")),
    # Sign-in by the event's own words: every call of some products says in its details that the session had no MFA.
    Rule("high", (_set("without_mfa bypass root"),), _SIGN_IN),
    Rule("medium", (_SIGN_IN, _set("failure denied failed"))),
    Rule("medium", (_ALERTS | _set("denied forbidden unauthorized"),)),
    Rule(
        "low",
        (_SIGN_IN,),
        _set("login logon logoff signin sign logout log start end succeeded authentication challenge"),
    ),
    Rule("medium", act=REMOVING | VERB_WORDS["grant"]),
    Rule("medium", (_NETWORK | _SETTINGS | _SECRETS | _PRIVILEGE | _ACCESS,), MUTATING),
    Rule("low", act=VERB_WORDS["read"] | MUTATING),
    Rule("low", (_MONEY,)),
)


def weak_category(text: str) -> Category | None:
    """Return the category of the first rule that fits a canonical text, or None where no rule knows its words.

    The event type decides; the entity type, then the details, are asked only where it says nothing particular.
    """
    parts = parse_text(text)
    event = _terms(parts.event)
    acts = _acts(parts.event)
    entity, details = _terms(parts.entity), _terms(parts.details.replace("without mfa", ""))
    label = (
        _first(CATEGORY_RULES, event, acts)
        or _first((*CATEGORY_RULES, *PLAIN_RULES), event | entity, acts)
        or _first(CATEGORY_RULES, event | entity | details, acts)
    )
    return next((category for category in CATEGORIES if category == label), None)


def weak_risk(text: str) -> Risk | None:
    """Return the risk by the first rule that fits a canonical text, or None where no rule knows its words.

    What was refused or failed did not happen, so critical and high become one step milder; some products tell of the
    failure among the details alone.
    """
    parts = parse_text(text)
    terms = _terms(parts.event) | _terms(parts.entity) | _terms(parts.details) | {parts.outcome}
    label = _first(RISK_RULES, terms, _acts(parts.event))
    if has_failed(parts):
        label = {"critical": "high", "high": "medium"}.get(label or "", label)
    return next((risk for risk in RISKS if risk == label), None)


def has_failed(parts: TextParts) -> bool:
    """Tell whether the thing was tried and did not happen, by its outcome or by an error among its details."""
    return parts.outcome in ("failure", "denied") or any(
        phrase.startswith("error") for phrase in parts.details.split(", ")
    )


def verbs_of(text: str) -> frozenset[Verb]:
    """Return the kinds of act that a canonical text's event type names."""
    acts = _acts(parse_text(text).event)
    return frozenset(verb for verb in VERBS if not VERB_WORDS[verb].isdisjoint(acts))


def _acts(event: str) -> frozenset[str]:
    """Return the words that may name an act: all of the event type's, or none that changes anything if it reads."""
    first = next(
        (form for form in map(_base_form, event.split()) if form in MUTATING or form in VERB_WORDS["read"]), None
    )
    terms = _terms(event)
    return terms - MUTATING if first in VERB_WORDS["read"] else terms


def _first(rules: Iterable[Rule], terms: frozenset[str], acts: frozenset[str]) -> str | None:
    for rule in rules:
        acted = rule.act is None or not rule.act.isdisjoint(acts)
        if acted and not any(words.isdisjoint(terms) for words in rule.about):
            return rule.label
    return None


def _terms(words: str) -> frozenset[str]:
    """Return the words of a text part, their base forms, and each two that stand side by side."""
    base = [word.strip(",") for word in words.split()]
    stemmed = [_base_form(word) for word in base]
    pairs = (f"{first} {second}" for form in (base, stemmed) for first, second in pairwise(form))
    return frozenset((*base, *stemmed, *pairs))


def _base_form(word: str) -> str:
    """Strip an inflection where what remains is a word that the rules use: `deleted`, `policies`, `exports`."""
    for suffix, ending in (
        ("ies", "y"),
        ("s", ""),
        ("es", ""),
        ("d", ""),
        ("ed", ""),
        ("ing", ""),
        ("ing", "e"),
        ("ion", "e"),
    ):
        if word.endswith(suffix) and (stem := word.removesuffix(suffix) + ending) in _KNOWN:
            return stem
    if len(word) > 5 and word[-3] == word[-4] and word.endswith("ed") and word[:-3] in _KNOWN:  # stopped, dropped
        return word[:-3]
    return word


_KNOWN: Final = frozenset(
    word
    for words in (
        *(about for rule in (*CATEGORY_RULES, *RISK_RULES) for about in rule.about),
        *(rule.act for rule in RISK_RULES if rule.act is not None),
        *VERB_WORDS.values(),
    )
    for term in words
    for word in term.split()
)
