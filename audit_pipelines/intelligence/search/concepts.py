"""What people call things that logs call otherwise: "leavers" are users who are disabled, "bills" are invoices.

A thesaurus of the trade, for the search by meaning alone: words of logs are added to what is embedded, and the kinds of
event that they mean count as likely. No filter is made of it: a concept is a hint, never an answer. Entries are general
English of security, compliance and operations; none names a product, a company or a question.
"""

import re
from typing import Final

_CONCEPTS: Final = r"""
login failure: could(?:n'?t| not) (?:get|log|sign) (?:in|into)|can'?t (?:get|log|sign) in|lock(?:ed)? out|
    wrong passwords?|bad passwords?|guess\w*|brute[ -]?forc\w+|password spray\w*|credential stuffing|mistyped|
    incorrect password|break[ -]?in attempts?|failed attempts?|rejected passwords?|unable to (?:log|sign|get) in|
    login problems?|trouble (?:logging|signing) in|authentication (?:failures?|errors?|problems?)|mistyp\w+|typos?
login: logged on|sessions? began|signing in|came online|authenticat\w+|log-?ons?|entered the system|signed on|
    came in
user disable: leavers?|off-?boarding|left the company|departed|departures?|terminated (?:staff|employees?|users?|
    accounts?)|clos\w+ accounts?|accounts? (?:that |which )?(?:were |was |are |been )?(?:closed|shut|switched off|
    blocked|locked|suspended)|ex-?employees?|deprovision\w*|deactivat\w+|suspend\w*|block\w* (?:\w+ )?accounts?|
    clos\w+ (?:of )?(?:\w+ )?accounts?|quit|resign\w*|fired|laid off
user create: joiners?|on-?boarding|new hires?|new (?:\w+ )?accounts?|new (?:\w+ )?users?|accounts? (?:were |
    was )?(?:opened|set up)|provision\w*|service accounts? (?:\w+ ){0,2}(?:created|made|added|set up)|
    new identit\w+|signed up|registered users?
employee create: new (?:colleagues?|employees?|staff|hires?|starters?|joiners?)|joiners?|on-?boarding|hired
ticket: help-?desk|service desk|cases?|complaints?|support (?:requests?|cases?)|incidents?
ticket assign: (?:hand\w*|pass\w*|forward\w*|route\w*|reassign\w*|escalat\w*) (?:\w+ ){0,3}(?:team|queue|department|
    group)|(?:tickets?|cases?) (?:\w+ ){0,3}(?:assigned|handed|passed|moved|transferred|reassigned|forwarded)|
    dispatch\w*
ticket close: (?:cases?|complaints?|tickets?|requests?|issues?) (?:\w+ ){0,3}(?:solved|resolved|finished|done|
    closed|settled)
delete: wip\w+|thr(?:ow|ew|own|owing) (?:\w+ ){0,2}away|trash\w*|got rid|get(?:ting)? rid|discard\w*|shred\w*|
    destroy\w*|cleaned up
file share external: outsiders?|externals?|outside (?:of )?(?:the |our )?(?:company|organi[sz]ation|firm)|
    third[ -]part(?:y|ies)|strangers?|publicly|(?:given|handed|sent|leaked) (?:out )?to|leak\w*
document download: (?:saved|copied|taken|pulled|put) (?:\w+ ){0,2}(?:to|onto|on) (?:\w+ )?(?:disks?|laptops?|usb|
    computers?|drives?)|took (?:\w+ ){0,3}home|(?:hr|personnel|staff) (?:files?|documents?)|
    contracts? (?:\w+ ){0,2}(?:download|saved|copied|printed)\w*
employee: personnel|colleagues?|human resources|staff|workforce
payroll salary: earn\w*|salar\w+|wages?|paychecks?|payslips?|compensation|pay (?:data|runs?|slips?)|what \w+ (?:is|
    are) paid
payment: money|funds?|wire transfers?|transfers?|payouts?|cash out|remittances?
approve: sign(?:ed|s|ing)?[ -]off|green-?lit|released?|authori[sz]ed?|okayed|waved through
invoice: bills?|billing documents?
vendor: suppliers?|vendors?|bank (?:details|accounts?|data)|iban
ledger: (?:accounting |the )?books|accounting|general ledger|bookkeeping
absence: time off|days? off|holidays?|vacations?|leave requests?|sick leave|annual leave|pto
absence approve: (?:holidays?|vacations?|leave|absences?|time off) (?:\w+ ){0,2}(?:granted|approved|allowed|
    accepted|signed)
candidate: recruit\w*|applicants?|job (?:applications?|seekers?|interviews?)|hiring|applied for|interviews?|talent|
    cvs?|r[eé]sum[eé]s?|vacanc\w+
deal update: opportunit\w+|won or lost|(?:deals?|sales) (?:\w+ ){0,2}(?:won|lost|moved|closed|changed)|
    pipeline stages?|(?:offers?|negotiations?|deals?) (?:\w+ ){0,3}(?:chang|updat|mov|progress|won|lost|clos)\w*
repository: source code|code ?bases?|git|sources?|code
repository clone: (?:code|sources?|repositor\w+|repos?) (?:\w+ ){0,2}(?:taken|copied|pulled|downloaded|stolen|
    fetched)|check(?:ed)? ?outs?|copies of (?:the )?(?:code|repos?)
pipeline run: continuous integration|builds?|ci (?:jobs?|runs?)|automated tests|compil\w+|pipelines?|
    jobs? (?:that )?(?:ran|run)|unit tests?|build failures?|broken builds?
artifact publish: packages? (?:\w+ ){0,2}(?:released|published|pushed|shipped)|(?:released?|published?) packages?
deployment create: roll-?outs?|went live|go(?:es|ing)? live|put into production|into production|ship\w*|
    new (?:versions?|software|releases?)|releases?|deploy\w*|released? to production|pushed to production|launch\w*|
    (?:put|brought|moved) (?:\w+ ){0,2}live
deployment rollback: undo\w*|undone|revert\w*|back ?out|previous version|(?:taken|took) back|withdrawn
instance stop: (?:machines?|servers?|vms?|hosts?|box(?:es)?) (?:\w+ ){0,2}(?:off|down|halted|stopped)|
    power\w* (?:off|down)|shut(?:ting)? ?down|(?:stop|halt|kill|terminat)\w* (?:\w+ ){0,3}(?:machines?|servers?|
    vms?|hosts?|instances?|box(?:es)?)|scal\w+ (?:down|in)
instance start: (?:machines?|servers?|vms?|hosts?|box(?:es)?) (?:\w+ ){0,2}(?:on|up|booted|started)|power\w* (?:on|
    up)|spun up|spin\w* up|(?:start|boot|launch|creat)\w* (?:\w+ ){0,3}(?:machines?|servers?|vms?|hosts?|instances?|
    box(?:es)?)|new (?:machines?|servers?|vms?)|scal\w+ (?:up|out)
session start: shells?|terminals?|ssh|bastion|jump ?host|interactive|hands[ -]on|log\w* (?:on|in|
    into) (?:\w+ ){0,2}(?:machines?|servers?|hosts?|instances?|box(?:es)?)|remote sessions?|command line|consoles?
resource list: inventor\w+|enumerat\w+|reconnaissance|recon|discover\w*|look\w* around|snoop\w*
role grant: privile?i?ges?|escalat\w+|admin(?:istrators?)?|more rights|permissions?|entitlements?|access rights|
    super ?users?|given access|got access|promot\w+|became (?:an? )?admin\w*|(?:rights?|permissions?|roles?|access|
    privileges?) (?:\w+ ){0,3}(?:given|granted|added|handed|extended|obtained)|(?:giv|grant|add|
    hand)\w* (?:\w+ ){0,3}(?:rights?|permissions?|roles?|privileges?)|too many rights|more power
role revoke: (?:rights?|permissions?|roles?|access|privileges?) (?:\w+ ){0,2}(?:taken away|removed|withdrawn|
    revoked|stripped)|los[ts]e? (?:\w+ ){0,2}(?:rights?|access|roles?)|(?:tak|remov|revok|withdr|stripp|
    los)\w* (?:\w+ ){0,3}(?:rights?|permissions?|roles?|privileges?|entitlements?)|(?:rights?|permissions?|roles?|
    privileges?|entitlements?) (?:\w+ ){0,3}(?:revok|remov|withdr|stripp|taken)\w*|demot\w+
role assume: elevat\w+|temporar\w+ (?:\w+ ){0,3}(?:rights?|access|role|privileges?|use)|break[ -]?glass|
    emergency access|sudo|impersonat\w+|act(?:ed|ing) as|(?:assum|tak|took|picked|us)\w* (?:\w+ ){0,3}(?:admin|
    emergency|break-?glass) (?:\w+ ){0,1}(?:role|access|rights)|switch\w* roles?|(?:admin|emergency) role
policy update: permissions?|access rules?|guardrails?|polic(?:y|ies) (?:\w+ ){0,4}(?:chang|alter|edit|modif|updat|
    rewr|loosen|weaken|relax)\w*|(?:chang|alter|edit|modif|updat|rewr|loosen|weaken|
    relax)\w* (?:\w+ ){0,3}polic(?:y|ies)
key create: api credentials?|access keys?|new (?:api )?(?:keys?|credentials?)|api keys?|programmatic access|
    (?:keys?|credentials?) (?:\w+ ){0,3}(?:generat|creat|issu|mint|made)\w*|(?:generat|creat|issu|mint|made|
    new)\w* (?:\w+ ){0,2}(?:keys?|credentials?)
key rotate: (?:keys?|credentials?|secrets?) (?:\w+ ){0,2}(?:renew\w*|replac\w*|rotat\w*|rolled)|
    renew\w* (?:\w+ ){0,2}(?:keys?|credentials?)
secret read: vaults?|secret stores?|(?:passwords?|tokens?|credentials?|secrets?) (?:\w+ ){0,3}(?:read|looked|viewed|
    fetched|opened|seen|retrieved)|(?:read\w*|fetch\w*|look\w*|view\w*) (?:\w+ ){0,3}(?:passwords?|tokens?|
    credentials?|secrets?)|api secrets?|signing keys?|(?:database|db|smtp|service) (?:passwords?|credentials?)|
    (?:credentials?|secrets?)
mfa challenge: prompts?|push notifications?|mfa fatigue|(?:did not|didn'?t|never) (?:answer|confirm|respond)|
    (?:push|mfa|2fa|authenticator|second factor|login) (?:\w+ ){0,2}(?:prompts?|notifications?|challenges?|
    requests?)|declin\w+|ignored (?:\w+ )?(?:push|prompts?)
mfa enroll: new (?:\w+ )?(?:phones?|devices?|authenticators?|factors?)|register\w* (?:\w+ ){0,4}(?:factors?|phones?|
    authenticators?|devices?)|(?:enrol|regist|add|set up|setup)\w* (?:\w+ ){0,3}(?:second factors?|two[- ]factor|
    2fa|mfa|authenticators?)
mfa reset: lost (?:\w+ )?(?:phones?|devices?|tokens?)|stolen phones?|new second factors?|broken phones?|(?:reset\w*|
    replac\w*|remov\w*) (?:\w+ ){0,3}(?:second factors?|two[- ]factor|2fa|mfa|authenticators?|otp)|
    (?:second factors?|two[- ]factor|2fa|mfa|authenticators?) (?:\w+ ){0,3}(?:reset|replac|remov)\w*
password reset: forg[eo]t\w* (?:\w+ ){0,2}pass\w*|pass?words? (?:\w+ )?forg[eo]t\w*|(?:passwords?|
    passphrases?) (?:\w+ ){0,3}reset\w*|reset\w* (?:\w+ ){0,3}(?:passwords?|passphrases?)|
    new password (?:\w+ ){0,2}(?:helpdesk|it|admin)
vpn connect: tunnels?|remote (?:access|work\w*)|home office|from home|dial\w* in|teleworking|(?:vpn|
    tunnels?) (?:\w+ ){0,2}(?:opened|started|up|established|connect\w*)|external (?:network )?access|
    working from (?:home|abroad)
schema change: (?:database|tables?|data) structures?|ddl|(?:new|added?|dropped) (?:columns?|indexes|indices|
    tables?)|migrations?|(?:columns?|index(?:es)?|indices|tables?) (?:or \w+ )?(?:\w+ )?(?:added|created|dropped|
    renamed|altered)|(?:add|alter|drop|renam)\w* (?:\w+ ){0,2}(?:columns?|index(?:es)?|indices)|data model
export: bulk|extract\w*|dump\w*|mass (?:download|copy)\w*|took (?:\w+ ){0,3}data|exfiltrat\w+|siphon\w*
snapshot share: cop(?:y|ies|ying) (?:\w+ ){0,2}(?:database|db) (?:\w+ ){0,2}(?:for|to|with)|(?:let|gave|given|
    handed) (?:\w+ ){0,4}cop(?:y|ies)|snapshots? (?:\w+ ){0,4}(?:shar|giv|hand|sent|copi|publi)\w*|(?:shar|giv|hand|
    sen[dt])\w* (?:\w+ ){0,3}snapshots?
database backup: cop(?:y|ies) of (?:the )?(?:database|data)|backups?|backed up|disaster recovery
snapshot create: cop(?:y|ies) of (?:the )?database|copying a database|point[ -]in[ -]time|
    snapshots? (?:\w+ ){0,3}(?:taken|made|creat)\w*
dashboard view: screens?|charts?|graphs?|monitor(?:ing)?(?: screens?)?|dashboards?|observability|metrics?
alert acknowledge: on[ -]call|paged?|pager|(?:confirm\w*|acknowledg\w*|ack\w*|accept\w*) (?:\w+ ){0,2}(?:alarms?|
    alerts?|pages?)|woken up|woke up|night (?:shift|duty)|respond\w* to (?:\w+ )?(?:alarms?|alerts?|pages?)
alert rule disable: (?:alarms?|alerts?|monitoring|detection|warnings?) (?:\w+ ){0,2}(?:off|disabled|silenced|muted|
    turned off|stopped)|(?:silenc\w*|mut\w*|disabl\w*|switch\w*|turn\w*|stop\w*) (?:\w+ ){0,2}(?:alarms?|alerts?|
    alerting|monitoring|detection|warnings?)|(?:rules?|detections?) (?:\w+ ){0,3}(?:mut|silenc|disabl|suppress|
    switched off|turned off)\w*|suppress\w*|maintenance
log sink: (?:tamper|mess|meddl|fiddl|interfer)\w* (?:\w+ ){0,2}(?:logs?|logging|trail|audit)|
    cover\w* (?:\w+ )?tracks?|(?:logs?|logging|trail) (?:\w+ ){0,3}(?:deleted|removed|redirected|switched|turned|
    stopped|gone|missing|disabled)|blind\w*
log retention: (?:logs?|records?) (?:\w+ ){0,2}(?:kept|stored|keep)|how long (?:\w+ )?logs?|retention|shorten\w*
firewall update: firewalls?|ports?|network rules?|security groups?|holes?|(?:ports?|networks?|
    traffic) (?:\w+ ){0,3}(?:open|clos|allow|block)\w*|(?:open|clos|allow|block)\w* (?:\w+ ){0,2}(?:ports?|
    networks?|traffic)|network access|perimeter
settings update: branch protection|repository settings|visibility|webhooks?|made public|
    repo(?:sitory)? (?:\w+ ){0,2}(?:settings?|configuration|visibility|members|webhooks?)|branch rules?
customer update: contact details|customer (?:data|details|master) (?:\w+ ){0,2}(?:chang|modif|alter|edit)\w*|
    (?:address|phone number)s? (?:\w+ ){0,2}chang\w*|(?:customers?|clients?)'? (?:\w+ ){0,4}(?:chang|modif|alter|
    edit|updat|correct)\w*|(?:chang|modif|alter|edit|updat|correct)\w* (?:\w+ ){0,3}(?:customers?|clients?)|(?:data|
    details?) of (?:our |the |\w+ )?(?:customers?|clients?) (?:\w+ ){0,2}(?:chang|modif|alter|edit|updat)\w*
customer read: customer (?:data|files?|profiles?|records?)|client (?:data|files?|profiles?|records?)|personal data
log query: search\w* (?:\w+ ){0,2}logs?|log search\w*|dig\w* (?:\w+ ){0,2}logs?|investigat\w+
logout: log(?:ged|s|ging)? off|sign(?:ed|s|ing)? out|left the system|end(?:ed)? (?:\w+ )?sessions?
user update: user profiles? (?:\w+ ){0,2}(?:chang|edit|modif)\w*|moved to (?:an)?other (?:group|team|manager)
employee read: (?:staff|personnel|employees?'?|hr) (?:\w+ )?(?:records?|files?|contracts?|data)
employee update: (?:staff|personnel|hr) (?:\w+ )?(?:records?|files?|contracts?|data) (?:\w+ ){0,2}(?:chang|edit|
    modif|alter|updat)\w*
ticket create: (?:new|opened|raised|filed|reported) (?:\w+ ){0,2}(?:tickets?|cases?|issues?|incidents?|problems?)|
    (?:tickets?|cases?|issues?|incidents?) (?:\w+ ){0,2}(?:opened|raised|filed|reported)
ticket comment: (?:repl\w+|answer\w*|comment\w*|remark\w*|notes?|wr[io]t\w+) (?:\w+ ){0,3}(?:tickets?|cases?)
file delete: (?:files?|documents?|folders?|data) (?:\w+ ){0,2}(?:gone|lost|missing|vanished|disappeared|wiped|
    removed|erased|deleted)|(?:wip|remov|eras|delet|shredd)\w* (?:\w+ ){0,2}(?:files?|documents?|folders?)
file upload: (?:put|putting|placed?|stor\w+|saved?|add\w*) (?:\w+ ){0,3}(?:in|into|on|onto|to) (?:the |
    our )?(?:file ?share|share|server|cloud|drive)|uploaded documents?
file download: (?:cop|tak|pull|grabb|sav)\w* (?:\w+ ){0,2}(?:files?|documents?)|downloaded documents?
file folder list: director\w+|brows\w+|folder contents?|look\w* through (?:\w+ )?folders?
file read: open\w* (?:\w+ )?(?:files?|documents?)|(?:files?|documents?) (?:\w+ ){0,2}(?:opened|viewed|read|seen)
payroll export: (?:payroll|salar\w+|wages?) (?:\w+ ){0,3}(?:exported|extracted|taken|downloaded|dumped)
payment create: (?:payments?|wires?|transfers?) (?:\w+ ){0,2}(?:made|sent|entered|initiated|issued|created)|
    paid out|paying (?:\w+ )?(?:suppliers?|vendors?)
payment approve: (?:payments?|wires?|transfers?|money) (?:\w+ ){0,3}(?:approv|releas|authori|sign|confirm)\w*|
    (?:approv|releas|authori|confirm)\w* (?:\w+ ){0,2}(?:payments?|wires?|transfers?|money)
invoice approve: (?:invoices?|bills?) (?:\w+ ){0,4}(?:approv|releas|authori|sign|confirm|accept)\w*|(?:approv|
    releas|authori|confirm|accept)\w* (?:\w+ ){0,2}(?:invoices?|bills?)
invoice create: (?:invoices?|bills?) (?:\w+ ){0,2}(?:issued|raised|written|entered|made)
vendor update: (?:bank|account) (?:details|data|numbers?|accounts?) (?:\w+ ){0,4}(?:chang|alter|swap|replac|edit|
    modif)\w*|(?:chang|alter|swap|replac|edit|modif)\w* (?:\w+ ){0,4}(?:bank|account) (?:details|data|numbers?|
    accounts?)|payees?|creditors?|(?:suppliers?|vendors?) (?:\w+ ){0,3}(?:chang|alter|edit|modif)\w*
absence request: ask\w* (?:\w+ ){0,2}(?:time off|days? off|holidays?|leave|vacations?)|(?:holidays?|leave|
    vacations?|absences?) (?:\w+ ){0,2}(?:requested|asked|wanted|applied)
pull request review: code reviews?|peer reviews?|reviewed changes|review\w* (?:\w+ )?code
pull request merge: merg\w+|brought into main|integrated (?:in|into) main
pull request open: proposed changes?|merge requests?|change proposals?
push: commit\w*|checked in|pushed|code changes?
token create: personal access tokens?|pats?|new tokens?|tokens? (?:\w+ ){0,2}(?:created|issued|generated|made)
token refresh: (?:tokens?|sessions?) (?:\w+ ){0,2}(?:refresh|renew|extend|prolong)\w*|(?:refresh|renew|extend|
    prolong)\w* (?:\w+ ){0,2}(?:tokens?|sessions?)
resource describe: details? of (?:\w+ )?(?:resources?|instances?|servers?)|look\w* at (?:\w+ ){0,2}(?:instances?|
    servers?|resources?)
bucket list: (?:bucket|storage) (?:contents?|listings?)|list\w* (?:\w+ ){0,2}(?:buckets?|storage|objects?)|
    which objects?
object read: (?:objects?|blobs?|storage|bucket) (?:\w+ ){0,3}(?:read|fetch|download|retriev|access|get)\w*|(?:read|
    fetch|download|retriev|access|got)\w* (?:\w+ ){0,3}(?:objects?|blobs?|storage|buckets?)
object write: (?:wr[io]t|stor|upload|put|sav)\w* (?:\w+ ){0,3}(?:objects?|blobs?|storage|buckets?)
role list: who has (?:which|what) (?:roles?|rights?|permissions?)|access reviews?|list\w* (?:\w+ ){0,2}(?:roles?|
    permissions?)
policy read: (?:read|view|look|inspect)\w* (?:\w+ ){0,3}polic(?:y|ies)
identity read: look\w* up (?:\w+ ){0,2}(?:users?|accounts?|identit\w+)|account (?:details|information)
password change: (?:passwords?|passphrases?) (?:\w+ ){0,3}(?:chang|expir|updat|new)\w*|(?:chang|expir|updat|
    new)\w* (?:\w+ ){0,2}(?:passwords?|passphrases?)|own password
vpn disconnect: (?:vpn|tunnels?) (?:\w+ ){0,2}(?:closed|ended|down|dropped|cut)|hung up
database query: sql|quer(?:y|ies|ied)|select(?:ed|s)? from|read\w* (?:\w+ ){0,3}tables?|
    tables? (?:\w+ ){0,2}(?:read|queried)
database update: rows? (?:\w+ ){0,3}(?:chang|alter|edit|modif|updat|rewr|fix|overwr)\w*|(?:chang|alter|edit|modif|
    updat|rewr|fix|overwr)\w* (?:\w+ ){0,3}(?:rows?|tables?|database|production data)|data (?:fix|repair)\w*|
    manual (?:\w+ )?(?:changes?|fix\w*)|by hand
database export: (?:tables?|database|rows?) (?:\w+ ){0,3}(?:export|dump|extract|copied out|unload)\w*|(?:export|
    dump|extract|unload)\w* (?:\w+ ){0,3}(?:tables?|database|rows?)
backup: backups? (?:\w+ ){0,4}(?:fail|complet|finish|succe|miss|r[au]n)\w*|safety cop\w+
alert rule update: (?:alerts?|alarms?|thresholds?|detection) (?:\w+ ){0,3}(?:chang|alter|edit|modif|tun|adjust|rais|
    lower)\w*|(?:chang|tun|adjust|rais|lower)\w* (?:\w+ ){0,3}(?:alerts?|alarms?|thresholds?)
log sink delete: (?:log|logs|logging|audit) (?:\w+ ){0,2}(?:destination|sink|stream|archive|
    forward\w*) (?:\w+ ){0,2}(?:delet|remov|gone|drop)\w*
log sink update: (?:redirect|rerout|divert|forward|re-?point)\w* (?:\w+ ){0,4}(?:logs?|logging|audit|archive)|
    (?:logs?|logging|audit) (?:\w+ ){0,4}(?:redirect|rerout|divert|forward|re-?point|sent elsewhere)\w*|
    log destinations?
log retention update: retention (?:\w+ ){0,4}(?:chang|shorten|reduc|cut|lower|extend|set)\w*|(?:chang|shorten|reduc|
    cut|lower|extend)\w* (?:\w+ ){0,3}retention|keep logs (?:shorter|longer|less)
log export: logs? (?:\w+ ){0,3}(?:export|download|extract|copied|taken|dump)\w*|(?:export|download|extract|
    dump)\w* (?:\w+ ){0,3}logs?
customer create: new (?:customers?|clients?)|(?:customers?|clients?) (?:\w+ ){0,2}(?:added|entered|created|
    registered|signed up)|acquired customers?
customer search: (?:look|search)\w* (?:\w+ ){0,3}(?:customers?|clients?)|customer lists?|client lists?|
    mailing lists?|(?:customers?|clients?) (?:\w+ ){0,2}(?:looked up|searched)
note create: (?:notes?|remarks?) (?:\w+ ){0,3}(?:customers?|clients?|calls?|visits?)|meeting notes?|call notes?
deal read: sales pipeline|pending deals?|open offers?
report run: (?:reports?|evaluations?|statistics) (?:\w+ ){0,2}(?:run|ran|executed|generated|made)|
    ran (?:\w+ ){0,2}reports?
report export: (?:reports?|lists?) (?:\w+ ){0,4}(?:export|download|taken out|extract|pulled)\w*|(?:export|download|
    extract)\w* (?:\w+ ){0,3}reports?
"""

_LONGEST: Final = 300


def _table(text: str) -> tuple[tuple[re.Pattern[str], tuple[str, ...]], ...]:
    # An indented line goes on with the one above.
    rows = (line.split(":", 1) for line in text.strip().replace("\n    ", "").splitlines())
    return tuple((re.compile(rf"\b(?:{said.strip()})\b", re.IGNORECASE), tuple(words.split())) for words, said in rows)


CONCEPTS: Final = _table(_CONCEPTS)
"""A pattern of what people say, and the words of logs for it."""


def concepts(text: str) -> list[tuple[str, ...]]:
    """Return the words of logs that a text means by words of its own, in the order of the table.

    What is asked stands early in a question: the first 300 characters are looked at.
    """
    return [words for pattern, words in CONCEPTS if pattern.search(text, 0, _LONGEST)]
