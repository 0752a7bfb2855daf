"""The English of questions: what people say for what logs write, and words that ask and say nothing of what for.

Tables alone, each word once; how they are used stands in `kinds` and `question`.
"""

from typing import Final

# What people say for what logs write; the first of each line is the word that all of it becomes.
_ACTIONS: Final = """
login: login logins logon signin authenticate authenticated authentication authentications authenticating
logout: logout logouts logoff signout
read: read reads reading view viewed views viewing saw look looks looked looking access accessed accesses accessing
      fetch fetched inspect inspected describe describes described consult consulted inspecting describing consulting
      examine examined examines examining
lookup: lookup lookups
list: list listed lists listing enumerate enumerated browse browsed
search: search searched searches searching
query: query queries queried querying
update: update updated updates updating change changed changes changing edit edited edits editing modify modified
        modifies modifying modification modifications alter altered alters altering alteration put set adjust adjusted
        adjusts adjusting adjustment amend amended amends amending amendment correct corrected corrects correcting
        correction corrections revise revised tweak tweaked reconfigure
        reconfigured rewrite rewrites rewritten rewrote rewriting
create: create created creates creating creation creations add added adds adding make made new register registered
        generate generated insert inserted issue issued provision provisioned hire hired onboard onboarded onboarding
        establish established
delete: delete deleted deletes deleting deletion deletions remove removed removes removing removal removals drop dropped
        erase erased erases erasing purge purged purges purging destroy destroyed destroys destroying wipe wiped
        wipes wiping scrap scrapped
export: export exported exports exporting exportation dump dumped dumps dumping extract extracted extracts
        extracting extraction
import: import imported imports importing
download: download downloaded downloads downloading
upload: upload uploaded uploads uploading
share: share shared shares sharing
grant: grant granted grants granting give gave given assign assigned assigns assigning attach attached
revoke: revoke revoked revokes revoking revocation withdraw withdrew withdrawn withdrawal detach detached rescind
        rescinded unassign unassigned
approve: approve approved approves approving approval approvals authorise authorised authorises
         authorising authorize authorized authorizes authorizing authorisation authorization signoff signoffs
request: request requested requests requesting
reset: reset resets resetting
enroll: enroll enrolled enrol enrols enrolls enrolling enrolment enrolments
        enrollment enrollments
disable: disable disabled disables disabling deactivate deactivated deactivates deactivating deactivation suspend
         suspended suspends suspension silence silenced silences silencing mute muted mutes muting offboard offboarded
         offboarding
enable: enable enabled enables enabling activate activated activates activating activation reactivate reactivated
        unmute unmuted reenabled
rotate: rotate rotated rotates rotating rotation rotations
run: run ran runs running execute executed execution executions
start: start started starts starting launch launched boot booted
stop: stop stopped stops stopping terminate terminated terminates terminating termination halt halted shutdown
      shutdowns
reboot: reboot rebooted reboots rebooting restart restarted restarts restarting
restore: restore restored restores restoring restoration recover recovered recovers recovering recovery
reject: decline declined declines declining
rename: rename renamed renames renaming
move: move moved moves moving relocate relocated
transfer: transferred transferring
schedule: schedule scheduled schedules scheduling
cancel: cancel cancelled canceled cancels cancelling canceling cancellation cancellations
encrypt: encrypt encrypted encrypts encrypting encryption
decrypt: decrypt decrypted decrypts decrypting decryption
lock: lock lockout lockouts
unlock: unlock unlocked unlocks unlocking
refund: refund refunded refunds refunding reimbursement reimbursements reimburse reimbursed
merge: merge merged merges merging
clone: clone cloned clones cloning
push: push pushed pushes pushing
publish: publish published publishes publishing release released
rollback: rollback rollbacks rolled revert reverted reverts
refresh: refresh refreshed refreshes
connect: connect connected connects connection connections
disconnect: disconnect disconnected disconnects disconnection
assume: assume assumed assumes assuming
acknowledge: acknowledge acknowledged acknowledges acknowledgement ack acked
comment: comment commented comments commenting reply replied replies
close: close closed closes closing resolve resolved resolves solve solved
review: review reviewed reviews reviewing
backup: backup backups backed
write: write wrote written writes writing
challenge: challenge challenged challenges prompt prompted prompts
open: open opens opened opening
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


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


def _table(text: str) -> dict[str, str]:
    table: dict[str, str] = {}
    head = ""
    for line in text.strip().splitlines():
        name, colon, words = line.partition(":")
        head, words = (name.strip(), words) if colon else (head, line)
        table |= dict.fromkeys(words.split(), head)
    return table


ACTION: Final = _table(_ACTIONS)
OBJECT: Final = _table(_OBJECTS)
ACTIONS: Final = frozenset(ACTION.values())
# What may be said of several.
SENSES: Final = {"lookup": ("lookup", "read", "search", "query")}

# Words that ask, and carry nothing of what is asked for.
EMPTY: Final = _set(
    """
    a about across actually after again ago all already also always am among an and any anybody anyone anything are as
    ask asked at attempt attempts audit away be because been before being between both but by call calls came can cant
    case cases caused come comes could couldnt did didnt do does doesnt doing done dont due during each earlier either
    else entries entry even event events ever every everybody everyone everything exactly far find for from full gave
    get gets getting give given go goes going got had happen happened happening happens has hasnt have having he help
    hence her here hers him his how however i if in into instance instances involve involved is isnt it item items its
    itself just kind kinds kindly know known last lately later latest let like line lines list logged look look made
    make makes making many may maybe me might mine more most much must my myself name named names need needed needs no
    nobody not now occasion occasions occur occurred occurrence occurrences of off ok on once one ones only or other
    others our out over own per perform performed performs person persons people please possible put question recent
    recently record recorded records regard related same say see seeing seen several shall she should show showing shown
    since single so some somebody someone something sort sorts still stuff such system take taken takes tell than thank
    thanks that the their them then there these they thing things this those through thru time times to today together
    too touch touched touches touching toward towards trail tried tries try trying type types under until up upon us
    usage use used uses using via vs want wanted wants was wasnt we well went were werent what whats when where whether
    which while who whoever whom whos whose why will with within wont would yes yesterday yet you your act action
    actions activities activity actor actors against behalf belonging carried concerning data detail details display
    happenings history entire whole complete info information involving operation operations overview regarding wise
    """
)

# Words that other rules read: right as they stand, and what others may be slips of.
READ: Final = _set(
    """
    yesterday today monday tuesday wednesday thursday friday saturday sunday weekend weekends january february march
    april august september october november december morning afternoon evening night minute minutes hours month months
    quarter quarters yesterdays between before during failed failure failures failing unsuccessful denied refused
    rejected blocked locked forbidden success successful successfully succeeded compared versus people number except
    excluding without previous latest busiest frequent address addresses network networks accounts outside business
    working
    """
)
