"""What people call what event types are named after: verbs, things, areas, and turns of phrase of both together.

Tables alone, of general English of security, compliance and operations; none names a company or a question. `readings`
makes sentences of them for the search by meaning. Not here: words that become filters (`words`), which must be sure
where these need only be likely.
"""

from typing import Final

# A word of event types, and what people say was done. A blank {} is where the thing stands that it was done to; without
# one it stands at the end.
_VERBS: Final = """
login: somebody logged in {}, signed in {}, authenticated {}, came online and began a session
logout: somebody logged off {}, signed out {}, ended the session {}
read: looked at, viewed, opened, accessed, inspected, peeked into, snooped around in
get: read, looked at, fetched, retrieved
describe: looked at the details of, inspected, described, surveyed
list: listed, went through the list of, enumerated, browsed, took an inventory of
search: searched for, looked up, looked for
query: ran a query on, searched through, queried
update: changed, edited, modified, adjusted, altered, tampered with, corrected
change: changed, edited, modified, altered
put: set, changed, wrote, replaced
set: set, changed
modify: modified, changed, altered
create: created, added a new, set up a new, entered a new, opened, issued, made
add: added, put in, gave
register: registered, added, signed up
delete: deleted, removed, wiped, erased, destroyed, got rid of, threw away, cleaned up
destroy: destroyed, deleted, wiped, removed
remove: removed, took out, kicked out, threw out
export: exported, extracted, dumped, took out in bulk, took a copy of, walked off with, pulled out a list of
import: imported, loaded in, brought in
download: downloaded, saved to disk, pulled down, copied to a laptop, grabbed a copy of, took home
upload: uploaded, put in the shared folder, stored, placed on the server, added
share: shared with an outsider, sent {} to an external partner, gave {} to a third party, made {} public, leaked
grant: granted {} to somebody, gave somebody {}, handed out {}, added {} for a person
assign: assigned {} to somebody, handed {} over to another team, passed {} on, rerouted {}, reassigned
attach: attached {} to somebody, gave somebody
revoke: revoked, took away {} from somebody, withdrew, stripped somebody of {}, removed
approve: approved, signed off, released, authorised, gave the green light to, waved through, confirmed
accept: accepted, confirmed
reject: rejected, turned down, refused
request: requested, asked for, applied for, wants
reset: reset, replaced, restored access after the loss of, helped with a forgotten
enroll: enrolled, registered a new, set up, paired
disable: disabled, switched off, turned off, deactivated, closed, silenced, blocked, shut
deactivate: deactivated, disabled, closed, shut
suspend: suspended, blocked, put on hold
lock: locked, locked out, blocked
unlock: unlocked, let {} back in
enable: enabled, switched on, turned on, activated, let {} back in
rotate: rotated, renewed, replaced {} with a new one, rolled over, refreshed
run: ran, executed, carried out, generated
invoke: called, ran, executed, triggered
start: started, launched, booted, spun up, powered on, brought up
stop: stopped, shut down, switched off, powered off, took down, halted, killed
terminate: terminated, shut down for good, destroyed, killed
reboot: restarted, rebooted
merge: merged, integrated {} into the main branch, accepted {} into main
clone: cloned, copied, took a full copy of, checked out, pulled down
fetch: fetched, pulled, downloaded
push: pushed, committed, checked in changes to
publish: published, released, shipped, pushed {} to the registry
rollback: rolled back, reverted {} to the previous version, undid, backed out of
deploy: deployed, put {} into production, rolled out, shipped
refresh: refreshed, renewed, extended, prolonged
renew: renewed, extended
connect: connected to {}, dialled in through {}, came in from outside through {}, opened a connection to {}
disconnect: disconnected from {}, hung up {}, dropped off {}
assume: assumed, took on {} for a while, switched to {}, acted under {}, elevated to {}, used {} temporarily
acknowledge: acknowledged, confirmed, responded to, took care of
comment: commented on, replied to, answered, left a remark on, wrote back about
close: closed, resolved, settled, finished, solved
review: reviewed, checked, looked over
backup: backed up, made a safety copy of, saved a copy of
restore: restored, recovered, brought back from a copy
copy: copied, duplicated, made a copy of
write: wrote, stored, saved, overwrote, put
challenge: was prompted for {}, got a push prompt for {}, was asked for {}, did not answer the prompt for
open: opened, started, used, launched
send: sent, delivered
invite: invited, let {} in, asked {} to join
join: joined
leave: left
transfer: transferred, moved, handed over
move: moved, shifted
rename: renamed
authorize: allowed, permitted, opened
allow: allowed, permitted
deny: denied, refused, blocked
verify: verified, checked
decrypt: decrypted, read in clear
encrypt: encrypted
schedule: scheduled, planned
cancel: cancelled, called off
associate: attached, linked
modification: changed, altered
block: blocked, locked, shut out
exec: opened a shell in {}, ran a command inside {}, got a terminal in {}
patch: changed, edited, patched
watch: watched, followed
bind: bound, attached
impersonate: impersonated, acted as
edit: edited, changed
bypass: bypassed, went around, got past
switch: switched to, changed to
"""

_THINGS: Final = """
user: a user account, an account of a person, somebody's login account, a member of staff in the directory
account: an account, an account of a person
identity: a user account, an identity, a person in the directory
member: a member, a person in the organisation, a colleague
employee: an employee record, a personnel file, a member of staff, a colleague's HR data
customer: a customer, a client, a customer record with contact details, data of our clients
contact: a contact, contact details
invoice: an invoice, a bill, a billing document
payment: a payment, an outgoing transfer, a wire of money, money, funds
payroll: payroll, salaries, pay slips, wages and earnings of colleagues, what people are paid
vendor: a vendor, a supplier, bank details of a supplier, a payee's account number
report: a report, statistics, an evaluation, a customer list
ledger: the general ledger, the accounting books, bookkeeping entries
file: a file, a document, files on the file share
document: a document, a contract, personnel paperwork
folder: a folder, a directory of files
repo: a repository, source code, the code base
repository: a repository, source code, the code base
git: a repository, source code
pull request: a pull request, a code change, a proposed change to the code, a merge request
pipeline: a build pipeline, automated tests, a continuous integration run, a CI job
workflow: a workflow, a CI job, an automated pipeline
artifact: a build artifact, a package, a container image
package: a package, a build artifact
image: a machine image, a container image
deployment: a deployment, a release, a new version in production, a rollout
instance: a virtual machine, a server, a cloud instance, a host
instances: virtual machines, servers, cloud instances, hosts
resource: cloud resources, infrastructure inventory
bucket: a storage bucket, the contents of a bucket, object storage
object: an object in cloud storage, a blob in a bucket, stored data
snapshot: a snapshot, a copy of a disk or database, a database snapshot
volume: a disk, a volume
firewall: a firewall rule, an open port, the network perimeter, which traffic is let in
security group: a firewall rule, an open port, the network perimeter
ingress: incoming traffic, an open port, a firewall rule for incoming traffic
egress: outgoing traffic, a firewall rule for outgoing traffic
role: a role, access rights, admin privileges, permissions of a user, more power
permission: a permission, access rights
privilege: admin privileges, elevated rights, more power
policy: an access policy, rules of who may do what, a permission policy
policies: access policies, permission policies
secret: a secret, a stored password, credentials in the vault, a secret from the secret store
parameter: a stored parameter, a secret setting
key: an access key, an API key, a long-lived credential, a signing key
token: an access token, a session token, an API token
mfa: a second factor, two-factor authentication, an authenticator phone, a one-time code device, a push notification
factor: a second factor, two-factor authentication, an authenticator phone
password: a password, a forgotten password, a passphrase
session: a session, a shell on a server, a terminal session, a remote command line
console: the web console
database: a database
schema: the database schema, a table structure, a column or index of a table
table: a database table, rows of data
ticket: a support ticket, a helpdesk case, a trouble report, a customer complaint
issue: an issue, a trouble report
alert: an alert, an alarm, a page to the on-call engineer
alarm: an alarm, an alert
rule: a rule
alert rule: an alerting rule, an alarm, a detection rule, monitoring of a threshold
retention: how long logs are kept, log retention, the keeping period of the logs
sink: where logs are sent, a log destination, the log archive, log forwarding
log: logs, log entries
logs: logs, log entries
logging: logging, the recording of activity
trail: the audit trail, audit logging of the account, the recording of activity
detector: threat detection, a security monitor
recorder: the recording of configuration changes, a security monitor
dashboard: a dashboard, monitoring screens, charts and graphs
deal: a sales deal, an opportunity in the sales pipeline, an offer to a client, a sale
note: a note about a customer, a call note, a meeting note
absence: a leave of absence, holidays, vacation, time off, sick leave
candidate: a job applicant, a candidate's CV, a recruiting application
app: an application, a program from the single sign-on portal
application: an application, a program from the single sign-on portal
vpn: the VPN, a remote access tunnel, the company network from home
group: a group, a team
team: a team, a group
setting: settings, the configuration, branch protection, visibility and webhooks
settings: settings, the configuration, branch protection, visibility and webhooks
branch: a branch, the main branch
protected branch: branch protection, the guard on the main branch
hook: a webhook, a notification to an outside address
webhook: a webhook, a notification to an outside address
trust: who may take the role
profile: a profile, login details
login profile: a password for the web console, a console login of a user
function: a serverless function, code that runs in the cloud
stack: a stack of infrastructure
cluster: a cluster
container: a container
task: a task, a job
job: a job
pod: a pod, a container, a workload in the cluster
pods: pods, containers, workloads in the cluster
namespace: a namespace
configmaps: configuration of the cluster
secrets: secrets, stored passwords, credentials
serviceaccounts: a service account, a machine identity
clusterrolebindings: a role binding, cluster-wide rights of somebody, admin rights on the cluster
rolebindings: a role binding, rights of somebody in a namespace
clusterroles: a role with its permissions in the whole cluster
roles: a role with its permissions
certificate: a certificate
zone: a network zone
domain: a domain
queue: a queue
topic: a topic
identities: users and accounts
keys: keys, access keys
buckets: storage buckets
users: user accounts
org: the organisation
organization: the organisation
deploy key: a deploy key, a key that reads the repository
runner: a build machine
scanning: scanning for weaknesses
vulnerability: a weakness, a security hole
data: data
"""

_AREAS: Final = """
sso: at the single sign-on, at the login page
iam: in identity and access management, in the user directory
hr: in the human resources system, about staff
erp: in the finance and accounting system
crm: in the sales system, about customers
scm: in the source code repository, by a developer
cloud: in the cloud, on our infrastructure
db: in the database, in a table
file: on the file share
files: on the file share
log: in the logging and monitoring system
ticket: at the helpdesk, in support
vpn: from outside over the VPN
ec2: on cloud servers
s3: in cloud storage
rds: in the database
kms: for encryption keys
secretsmanager: in the secret store
lambda: in serverless functions
cloudtrail: in the audit logging
guardduty: in threat detection
ssm: on servers by remote command
sts: for temporary credentials
kubernetes: in the Kubernetes cluster
signin: in the web console
organizations: in the organisation
"""

# Words of an event type that mean something together: the sentences are about it as a whole.
_PHRASES: Final = """
login failure: could not get in, wrong password, guessing a password, locked out, a break-in attempt
user create: a joiner got an account, onboarding of a new starter, a person was let into the system
user disable: a leaver's or former colleague's account was closed, offboarding of somebody who left the company
role grant: privilege escalation, somebody became an administrator, more rights than before
role revoke: demoted, lost access after an access review
role assume: break-glass emergency access, temporary use of elevated rights, used somebody else's rights
role list: access review of who has which rights
firewall update: a port was opened to the internet, a hole in the network, a network range was let in
security group authorize: a port was opened to the internet, a hole in the network
alert rule disable: an alarm was muted, monitoring was blinded, suppressed detection for maintenance
alert rule update: a threshold of an alarm was tuned
alert acknowledge: somebody on pager duty was woken up and answered the alarm
sink delete: covered tracks, stopped the logs from being kept, tampered with logging
sink update: redirected the logs somewhere else
retention update: logs are kept for fewer days, shortened how long evidence is kept
logging stop: covered tracks, switched off the audit log, tampered with logging
trail delete: covered tracks, switched off the audit log, tampered with logging
trail update: audit logging was redirected or reduced
detector delete: switched off threat detection, blinded security monitoring
log query: digging through logs, an investigation in the logs
log export: took copies of the logs, logs left the logging system
dashboard view: watched graphs and charts of the systems
snapshot share: let somebody outside have a copy of the database
snapshot create: made a copy of the database at a point in time
deployment create: went live, new software in production
deployment rollback: undid a bad release
instance stop: shut a machine
session start: logged into a machine by SSH, hands-on work on a server, terminal access through the bastion
user session start: a person logged in, signed in at the login page
user session end: a person logged off, signed out
user authentication: a person logged in, the sign-in was checked
console login: a person signed in to the web console with a password
resource list: reconnaissance, looked around what is there
caller identity get: asked who am I with these credentials, reconnaissance
token refresh: a session was renewed without logging in again
app open: launched a program from the portal, single sign-on to an application
mfa challenge: a push notification nobody answered, bombarded with login prompts, MFA fatigue
mfa enroll: paired a new phone as authenticator
mfa reset: lost phone, the one-time code device was replaced
mfa deactivate: switched off the second factor, removed two-factor protection
password reset: forgot the password and got a new one from the helpdesk
password change: chose a new password of one's own
secret read: took credentials out of the password safe, fetched a database password,
    looked at a stored password of a system
key create: programmatic access with a new credential
key rotate: the key was exchanged for a fresh one
settings update: the branch protection was lifted, a webhook was altered, a repository was made public, let in a helper
pull request review: somebody looked over a colleague's code before it went in, peer review
pull request open: proposed a change to the code
pull request merge: a change went into the main branch
push: new commits from a developer, developers checked in their code
repo clone: took the source code, a copy of the code
artifact publish: a container or package was released to the registry
pipeline run: tests ran, a build went red or green
token create: a personal access token
vendor update: the bank account of a supplier was swapped, where money is paid to was changed, payment fraud
vendor read: looked up a supplier
payment create: money going out, paid a supplier
payment approve: a transfer of money was let through, second pair of eyes on a payment
invoice approve: a bill was signed off, four eyes on an invoice
invoice create: billed a customer, sent a client a bill, entered a bill
ledger read: looked at the books
report export: took a quarterly report or list out of the system
erp report export: took financial figures out as a spreadsheet
report run: ran the numbers
payroll export: salary data left the system
payroll read: looked up what colleagues earn
employee create: a new hire was entered by HR
employee update: master data of a member of staff was changed, moved to another department
employee read: visited the staff directory, looked at a personnel record
document download: HR paperwork such as contracts was saved
absence request: somebody wants days off, handed in a holiday
absence approve: a manager granted vacation
candidate read: opened a CV, recruiting
customer create: won a new client
customer update: a client's address or phone number was changed
customer read: looked at one client's profile, personal data of a client
customer search: looked for clients, went through the customer base
deal update: an opportunity was won or lost, moved to the next stage
deal read: looked at the sales pipeline
note create: wrote down a call with a customer, left a remark about a client
ticket create: a user raised a new issue with the helpdesk, reported trouble, somebody says that something is broken
ticket assign: escalated or handed a case to somebody else
ticket close: a complaint was solved
ticket comment: support answered the person who asked
ticket read: looked at a case
file share: a confidential file was given to an outsider
file delete: files vanished, cleanup of old files
file upload: put documents into the shared drive
file download: took files off the share
file folder list: browsed through directories
file read: opened a file
bucket list: looked what is in the storage
object read: data was read out of cloud storage
object write: data was put into cloud storage
db query: SQL on tables, read rows from a table, mass reading from tables
db update: rows were rewritten by hand, manual correction of production data
db export: a large extract of a table, a database dump
db backup: the nightly backup, the database was saved for disaster recovery
db login: connected to the database with a password
schema change: a migration, a column was added, a table was altered or dropped, DDL
vpn connect: working from home, dialled in from abroad, a remote access tunnel was opened
vpn disconnect: hung up the tunnel
policy update: the rules of who may do what were loosened, permission documents were rewritten
policy put: the rules of who may do what were changed
access key create: programmatic access with a new credential
bucket policy put: storage was opened to others, who may read the bucket was changed
user add group: somebody was put into a group with more rights
instances run: new servers were launched
instances terminate: servers were destroyed
repo access: a private repository was made public
member add: a person joined the organisation
member remove: a person left the organisation
pods exec: somebody opened a shell in a running container
clusterrolebindings create: somebody got admin rights on the cluster
"""


def _table(text: str) -> dict[str, tuple[str, ...]]:
    # An indented line goes on with the one above.
    rows = (line.split(":", 1) for line in text.strip().replace("\n    ", " ").splitlines())
    return {words.strip(): tuple(each.strip() for each in said.split(",")) for words, said in rows}


VERBS: Final = _table(_VERBS)
THINGS: Final = _table(_THINGS)
AREAS: Final = _table(_AREAS)
PHRASES: Final = _table(_PHRASES)
