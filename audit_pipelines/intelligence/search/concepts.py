"""What people call things that logs call otherwise: "leavers" are users who are disabled, "bills" are invoices.

A thesaurus of the trade, for the search by meaning alone: words of logs are added to what is embedded, and the kinds of
event that they mean count as likely. No filter is made of it: a concept is a hint, never an answer. Entries are general
English of security, compliance and operations; none names a product, a company or a question.
"""

import re
from typing import Final

_CONCEPTS: Final = r"""
login failure: could(?:n'?t| not) (?:get|log|sign) (?:in|into)|can'?t (?:get|log|sign) in|lock(?:ed)? out|wrong passwords?|bad passwords?|guess\w*|brute[ -]?forc\w+|password spray\w*|credential stuffing|mistyped|incorrect password|break[ -]?in attempts?
login: logged on|sessions? began|signing in|came online|authenticat\w+
user disable: leavers?|off-?boarding|left the company|departed|departures?|terminated (?:staff|employees?|users?|accounts?)|clos\w+ accounts?|accounts? (?:that |which )?(?:were |was |are |been )?(?:closed|shut|switched off|blocked|locked|suspended)|ex-?employees?|deprovision\w*
user create: joiners?|on-?boarding|new hires?|new (?:\w+ )?accounts?|new (?:\w+ )?users?|accounts? (?:were |was )?(?:opened|set up)|provision\w*
employee create: new (?:colleagues?|employees?|staff|hires?|starters?|joiners?)|joiners?|on-?boarding|hired
ticket: help-?desk|service desk|cases?|complaints?|support (?:requests?|cases?)|incidents?
ticket assign: (?:hand\w*|pass\w*|forward\w*|route\w*|reassign\w*|escalat\w*) (?:\w+ ){0,3}(?:team|queue|department|group)
ticket close: (?:cases?|complaints?|tickets?|requests?|issues?) (?:\w+ ){0,3}(?:solved|resolved|finished|done|closed|settled)
delete: wip\w+|thr(?:ow|ew|own|owing) (?:\w+ ){0,2}away|trash\w*|got rid|get(?:ting)? rid|discard\w*|shred\w*|destroy\w*|cleaned up
file share external: outsiders?|externals?|outside (?:of )?(?:the |our )?(?:company|organi[sz]ation|firm)|third[ -]part(?:y|ies)|strangers?|publicly|(?:given|handed|sent|leaked) (?:out )?to|leak\w*
document download: (?:saved|copied|taken|pulled|put) (?:\w+ ){0,2}(?:to|onto|on) (?:\w+ )?(?:disks?|laptops?|usb|computers?|drives?)|took (?:\w+ ){0,3}home
employee: personnel|colleagues?|human resources|staff|workforce
payroll salary: earn\w*|salar\w+|wages?|paychecks?|payslips?|compensation|pay (?:data|runs?|slips?)|what \w+ (?:is|are) paid
payment: money|funds?|wire transfers?|transfers?|payouts?|cash out|remittances?
approve: sign(?:ed|s|ing)?[ -]off|green-?lit|released?|authori[sz]ed?|okayed|waved through
invoice: bills?|billing documents?
vendor: suppliers?|vendors?|bank (?:details|accounts?|data)|iban
ledger: (?:accounting |the )?books|accounting|general ledger|bookkeeping
absence: time off|days? off|holidays?|vacations?|leave requests?|sick leave|annual leave|pto
absence approve: (?:holidays?|vacations?|leave|absences?|time off) (?:\w+ ){0,2}(?:granted|approved|allowed|accepted|signed)
candidate: recruit\w*|applicants?|job (?:applications?|seekers?|interviews?)|hiring|applied for|interviews?|talent
deal update: opportunit\w+|won or lost|(?:deals?|sales) (?:\w+ ){0,2}(?:won|lost|moved|closed|changed)|pipeline stages?
repository: source code|code ?bases?|git|sources?|code
repository clone: (?:code|sources?|repositor\w+|repos?) (?:\w+ ){0,2}(?:taken|copied|pulled|downloaded|stolen|fetched)|check(?:ed)? ?outs?|copies of (?:the )?(?:code|repos?)
pipeline run: continuous integration|builds?|ci (?:jobs?|runs?)|automated tests|compil\w+
artifact publish: packages? (?:\w+ ){0,2}(?:released|published|pushed|shipped)|(?:released?|published?) packages?
deployment create: roll-?outs?|went live|go(?:es|ing)? live|put into production|into production|ship\w*|new (?:versions?|software|releases?)|releases?
deployment rollback: undo\w*|undone|revert\w*|back ?out|previous version|(?:taken|took) back|withdrawn
instance stop: (?:machines?|servers?|vms?|hosts?|box(?:es)?) (?:\w+ ){0,2}(?:off|down|halted|stopped)|power\w* (?:off|down)|shut(?:ting)? ?down
instance start: (?:machines?|servers?|vms?|hosts?|box(?:es)?) (?:\w+ ){0,2}(?:on|up|booted|started)|power\w* (?:on|up)|spun up|spin\w* up
session start: shells?|terminals?|ssh|bastion|jump ?host|interactive|hands[ -]on
resource list: inventor\w+|enumerat\w+|reconnaissance|recon|discover\w*|look\w* around|snoop\w*
role grant: privile?i?ges?|escalat\w+|admin(?:istrators?)?|more rights|permissions?|entitlements?|access rights|super ?users?|given access|got access
role revoke: (?:rights?|permissions?|roles?|access|privileges?) (?:\w+ ){0,2}(?:taken away|removed|withdrawn|revoked|stripped)|los[ts]e? (?:\w+ ){0,2}(?:rights?|access|roles?)
role assume: elevat\w+|temporar\w+ (?:\w+ ){0,3}(?:rights?|access|role|privileges?|use)|break[ -]?glass|emergency access|sudo|impersonat\w+|act(?:ed|ing) as
policy update: permissions?|access rules?|guardrails?
key create: api credentials?|access keys?|new (?:api )?(?:keys?|credentials?)|api keys?|programmatic access
key rotate: (?:keys?|credentials?|secrets?) (?:\w+ ){0,2}(?:renew\w*|replac\w*|rotat\w*|rolled)|renew\w* (?:\w+ ){0,2}(?:keys?|credentials?)
secret read: vaults?|secret stores?|(?:passwords?|tokens?|credentials?|secrets?) (?:\w+ ){0,3}(?:read|looked|viewed|fetched|opened|seen|retrieved)|(?:read\w*|fetch\w*|look\w*|view\w*) (?:\w+ ){0,3}(?:passwords?|tokens?|credentials?|secrets?)
mfa challenge: prompts?|push notifications?|mfa fatigue|(?:did not|didn'?t|never) (?:answer|confirm|respond)
mfa enroll: new (?:\w+ )?(?:phones?|devices?|authenticators?|factors?)|register\w* (?:\w+ ){0,4}(?:factors?|phones?|authenticators?|devices?)
mfa reset: lost (?:\w+ )?(?:phones?|devices?|tokens?)|stolen phones?|new second factors?|broken phones?
password reset: forg[eo]t\w* (?:\w+ ){0,2}pass\w*|pass?words? (?:\w+ )?forg[eo]t\w*
vpn connect: tunnels?|remote (?:access|work\w*)|home office|from home|dial\w* in|teleworking
schema change: (?:database|tables?|data) structures?|ddl|(?:new|added?|dropped) (?:columns?|indexes|indices|tables?)|migrations?
export: bulk|extract\w*|dump\w*|mass (?:download|copy)\w*|took (?:\w+ ){0,3}data|exfiltrat\w+|siphon\w*
snapshot share: cop(?:y|ies|ying) (?:\w+ ){0,2}(?:database|db) (?:\w+ ){0,2}(?:for|to|with)|(?:let|gave|given|handed) (?:\w+ ){0,4}cop(?:y|ies)
database backup: cop(?:y|ies) of (?:the )?(?:database|data)|backups?|backed up|disaster recovery
snapshot create: cop(?:y|ies) of (?:the )?database|copying a database|point[ -]in[ -]time
dashboard view: screens?|charts?|graphs?|monitor(?:ing)?(?: screens?)?|dashboards?
alert acknowledge: on[ -]call|paged?|pager|(?:confirm\w*|acknowledg\w*|ack\w*|accept\w*) (?:\w+ ){0,2}(?:alarms?|alerts?|pages?)
alert rule disable: (?:alarms?|alerts?|monitoring|detection|warnings?) (?:\w+ ){0,2}(?:off|disabled|silenced|muted|turned off|stopped)|(?:silenc\w*|mut\w*|disabl\w*|switch\w*|turn\w*|stop\w*) (?:\w+ ){0,2}(?:alarms?|alerts?|alerting|monitoring|detection|warnings?)
log sink: (?:tamper|mess|meddl|fiddl|interfer)\w* (?:\w+ ){0,2}(?:logs?|logging|trail|audit)|cover\w* (?:\w+ )?tracks?|(?:logs?|logging|trail) (?:\w+ ){0,3}(?:deleted|removed|redirected|switched|turned|stopped|gone|missing|disabled)|blind\w*
log retention: (?:logs?|records?) (?:\w+ ){0,2}(?:kept|stored|keep)|how long (?:\w+ )?logs?|retention|shorten\w*
firewall update: firewalls?|ports?|network rules?|security groups?|holes?
settings update: branch protection|repository settings|visibility|webhooks?|made public
customer update: contact details|customer (?:data|details|master) (?:\w+ ){0,2}(?:chang|modif|alter|edit)\w*|(?:address|phone number)s? (?:\w+ ){0,2}chang\w*
customer read: customer (?:data|files?|profiles?|records?)|client (?:data|files?|profiles?|records?)|personal data
log query: search\w* (?:\w+ ){0,2}logs?|log search\w*|dig\w* (?:\w+ ){0,2}logs?|investigat\w+
"""

_LONGEST: Final = 500
CONCEPTS: Final = tuple(
    (re.compile(rf"\b(?:{pattern.strip()})\b", re.IGNORECASE), tuple(words.split()))
    for words, pattern in (line.split(":", 1) for line in _CONCEPTS.strip().splitlines())
)


def concepts(text: str) -> list[tuple[str, ...]]:
    """Return the words of logs that a text means by words of its own, in the order of the table.

    What is asked stands early in a question: the first 500 characters are looked at.
    """
    return [words for pattern, words in CONCEPTS if pattern.search(text, 0, _LONGEST)]
