"""Which kinds of event the words of a question mean, among those that the tenant has.

Here: English words to the event types of a tenant, whatever products they come from. Not here: persons, times and
outcomes (`question`). An event type is read as its own words: `hr:payroll.export` is what somebody exports, and a payroll.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

_WORD: Final = re.compile(r"[A-Z]{2,}(?![a-z])|[A-Z]?[a-z]+|\d+")

# What people say for what logs write; the first of each line is the word that all of it becomes.
_ACTIONS: Final = """
login: login logins logon signin authenticate authenticated authentication authentications authenticating
logout: logout logouts logoff signout
read: read reads reading view viewed views viewing see seen saw look looked looking access accessed accesses accessing
      get got fetch fetched inspect inspected describe described consult consulted lookup opened
list: list listed lists listing enumerate enumerated browse browsed
search: search searched searches searching
query: query queries queried querying
update: update updated updates updating change changed changes changing edit edited edits editing modify modified
        modifies modifying modification modifications alter altered alters put set adjust adjusted reconfigure reconfigured
create: create created creates creating creation creations add added adds adding make made new register registered
        generate generated insert inserted issue issued provision provisioned hire hired
delete: delete deleted deletes deleting deletion deletions remove removed removes removing removal removals drop dropped
        erase erased purge purged destroy destroyed
export: export exported exports exporting dump dumped extract extracted
import: import imported imports importing
download: download downloaded downloads downloading
upload: upload uploaded uploads uploading
share: share shared shares sharing
grant: grant granted grants granting give gave given assign assigned assigns assigning attach attached
revoke: revoke revoked revokes revoking withdraw withdrew withdrawn detach detached
approve: approve approved approves approving approval approvals authorise authorised authorize authorized
request: request requested requests requesting
reset: reset resets resetting
enroll: enroll enrolled enrol enrolls enrolled enrolment enrollment enrollments
disable: disable disabled disables disabling deactivate deactivated deactivation suspend suspended silence silenced mute muted
enable: enable enabled enables enabling activate activated
rotate: rotate rotated rotates rotation rotations
run: run ran runs running execute executed execution executions
start: start started starts starting launch launched boot booted
stop: stop stopped stops stopping terminate terminated halt halted
merge: merge merged merges merging
clone: clone cloned clones cloning
push: push pushed pushes pushing
publish: publish published publishes publishing release released
rollback: rollback rollbacks rolled
refresh: refresh refreshed refreshes
connect: connect connected connects connection connections
disconnect: disconnect disconnected disconnects disconnection
assume: assume assumed assumes assuming
acknowledge: acknowledge acknowledged acknowledges acknowledgement ack acked
comment: comment commented comments commenting
close: close closed closes closing resolve resolved
review: review reviewed reviews reviewing
backup: backup backups backed
write: write wrote written writes writing
challenge: challenge challenged challenges prompt prompted prompts
send: send sent sends sending
invite: invite invited invites invitation invitations
"""
_OBJECTS: Final = """
user: user users account accounts identity identities principal principals
employee: employee employees staff personnel colleague colleagues
customer: customer customers client clients
invoice: invoice invoices bill bills
payment: payment payments transfer transfers
payroll: payroll payrolls salary salaries wage wages pay
vendor: vendor vendors supplier suppliers
report: report reports
file: file files
document: document documents doc docs
folder: folder folders directory directories
repository: repository repositories repo repos
pull_request: pr prs
pipeline: pipeline pipelines build builds ci
artifact: artifact artifacts package packages
deployment: deployment deployments deploy deployed deploys deploying
instance: instance instances server servers vm vms machine machines host hosts
bucket: bucket buckets
object: object objects blob blobs
snapshot: snapshot snapshots
firewall: firewall firewalls
role: role roles
permission: permission permissions right rights privilege privileges
policy: policy policies
secret: secret secrets
key: key keys
token: token tokens
mfa: mfa otp
password: password passwords passphrase
session: session sessions shell
database: database databases db
schema: schema schemas
table: table tables
ticket: ticket tickets
alert: alert alerts
alert_rule: rule rules
retention: retention
sink: sink sinks
log: log logs logging
dashboard: dashboard dashboards
deal: deal deals opportunity opportunities
note: note notes
absence: absence absences leave vacation vacations holiday holidays
candidate: candidate candidates applicant applicants
app: app apps application applications
vpn: vpn
group: group groups
setting: setting settings configuration
trail: trail trails
"""
_COMPOUNDS: Final = (
    (re.compile(r"\b(?:log|logs|logged|logging|sign|signs|signed|signing)[ -](?:in|on)(?:s|to)?\b", re.I), "login"),
    (re.compile(r"\b(?:log|logs|logged|logging|sign|signs|signed|signing)[ -](?:out|off)s?\b", re.I), "logout"),
    (re.compile(r"\b(?:turn|turns|turned|switch|switches|switched|shut)[ -](?:off|down)\b", re.I), "disable"),
    (re.compile(r"\b(?:turn|turns|turned|switch|switches|switched)[ -]on\b", re.I), "enable"),
    (re.compile(r"\b(?:took|take|takes|taken|taking) away\b", re.I), "revoke"),
    (re.compile(r"\b(?:look|looks|looked|looking)[ -](?:at|into|up)\b", re.I), "read"),
    (re.compile(r"\b(?:roll|rolls|rolled|rolling)[ -]back\b", re.I), "rollback"),
    (re.compile(r"\b(?:two|2|multi|second)[ -]?factor(?: authentication)?\b|\b2fa\b", re.I), "mfa"),
    (re.compile(r"\b(?:api|access)[ -]keys?\b", re.I), "key"),
    (re.compile(r"\bpull[ -]requests?\b", re.I), "pull_request"),
    (re.compile(r"\balert(?:ing)?[ -]rules?\b", re.I), "alert_rule"),
    (re.compile(r"\bfirewall rules?\b", re.I), "firewall"),
)


def _table(text: str) -> dict[str, str]:
    table: dict[str, str] = {}
    head = ""
    for line in text.strip().splitlines():
        name, colon, words = line.partition(":")
        head, words = (name.strip(), words) if colon else (head, line)
        table |= {word: head for word in words.split()}
    return table


_ACTION: Final = _table(_ACTIONS)
_OBJECT: Final = _table(_OBJECTS)
ACTIONS: Final = frozenset(_ACTION.values())


@dataclass(frozen=True, slots=True)
class Meant:
    """The event types that some words mean, and which of the words said so."""

    event_types: tuple[str, ...]
    words: frozenset[str]
    """The words, as they were given, that are explained by these types."""


@lru_cache(maxsize=65_536)
def stem(word: str) -> str:
    """Return the word that a word becomes: one of the tables, else itself without a plural's end."""
    lower = word.lower()
    known = _ACTION.get(lower) or _OBJECT.get(lower)
    if known:
        return known
    for ending, rest in (("ies", "y"), ("sses", "ss"), ("xes", "x"), ("ches", "ch"), ("s", "")):
        if lower.endswith(ending) and len(lower) - len(ending) >= 3 and not lower.endswith(("ss", "us", "is")):
            base = lower[: -len(ending)] + rest
            return _ACTION.get(base) or _OBJECT.get(base) or base
    return lower


def fold_compounds(text: str) -> str:
    """Return the text with words that mean something together made one, each padded to the length it had."""
    for pattern, single in _COMPOUNDS:
        text = pattern.sub(lambda match, single=single: single.ljust(len(match[0])), text)  # type: ignore[misc]
    return text


@lru_cache(maxsize=65_536)
def _type_stems(event_type: str) -> tuple[frozenset[str], frozenset[str], frozenset[str]]:
    """Return what is done, to what, and where from, as the words of an event type say it."""
    source, _, action = event_type.rpartition(":")
    words = fold_compounds(" ".join(_WORD.findall(action or source)))
    stems = {stem(word) for word in words.split()}
    # The last action counts: `alert_rule.disable`; products that put it first have no other ("PutUserPolicy").
    actions = stems & ACTIONS
    return frozenset(actions), frozenset(stems - actions), frozenset(stem(word) for word in _WORD.findall(source))


class Kinds:
    """The kinds of event that one tenant has."""

    def __init__(self, event_types: Iterable[str]) -> None:
        self._types = sorted(set(event_types))
        self._objects = frozenset(word for each in self._types for word in _type_stems(each)[1])
        self._sources = frozenset(word for each in self._types for word in _type_stems(each)[2])

    def knows(self, word: str) -> bool:
        """Return whether any of the types has the word."""
        return stem(word) in self._objects or stem(word) in self._sources or stem(word) in ACTIONS

    def meant(self, words: Sequence[str]) -> Meant | None:
        """Return the types that `words` mean together, or None where no type has what all of them say.

        Every action named must be the type's, or one of several that are; of the objects named, as many as any type
        has. A word that no type has explains nothing and is left to others.
        """
        stems = {word: stem(word) for word in words}
        actions = {each for each in stems.values() if each in ACTIONS}
        objects = {each for each in stems.values() if each in self._objects - ACTIONS}
        sources = {each for each in stems.values() if each in self._sources - ACTIONS}
        if not actions and not objects and not sources:
            return None
        best: list[str] = []
        most = (0, 0, 0)
        for each in self._types:
            done, to, source = _type_stems(each)
            if actions and not done & actions:
                continue
            score = (len(to & objects) + (len(done & objects)), len(source & sources), 0)
            if (objects or sources) and not (score[0] or score[1]):
                continue
            if score > most or not best:
                best, most = ([each], score) if score > most or not best else (best, most)
            elif score == most:
                best.append(each)
        if not best:
            return None
        explained = frozenset(word for each in best for part in _type_stems(each) for word in part)
        return Meant(tuple(best), frozenset(word for word, its in stems.items() if its in explained))
