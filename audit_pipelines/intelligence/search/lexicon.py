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
user: a user account, an account of a person, somebody's login account, a member of staff in the directory, someone's
    place in the directory, a team or manager in the directory
account: an account, an account of a person
identity: a user account, an identity, a person in the directory, which rights a person has
member: a member, a person in the organisation, a colleague
employee: an employee record, a personnel file, a member of staff, a colleague's HR data
customer: a customer, a client, a customer record with contact details, data of our clients, a client's data, the
    customer base
contact: a contact, contact details
invoice: an invoice, a bill, a billing document, an invoice or a credit note, a demand for payment
payment: a payment, an outgoing transfer, a wire of money, money, funds, a bank transfer, a remittance, what is paid
    to suppliers
payroll: payroll, salaries, pay slips, wages and earnings of colleagues, what people are paid, the salary list,
    compensation and bonuses
vendor: a vendor, a supplier, bank details of a supplier, a payee's account number
report: a report, statistics, an evaluation, a customer list, figures in a spreadsheet, a statement
ledger: the general ledger, the accounting books, bookkeeping entries
file: a file, a document, files on the file share, papers, a spreadsheet, a folder's contents
document: a document, a contract, personnel paperwork, a letter, a form, an employment agreement
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
deployment: a deployment, a release, a new version in production, a rollout, a new version, software that went live
instance: a virtual machine, a server, a cloud instance, a host, a machine, a box, a computer in the data centre
instances: virtual machines, servers, cloud instances, hosts
resource: cloud resources, infrastructure inventory, an inventory of our machines and systems
bucket: a storage bucket, the contents of a bucket, object storage
object: an object in cloud storage, a blob in a bucket, stored data
snapshot: a snapshot, a copy of a disk or database, a database snapshot
volume: a disk, a volume
firewall: a firewall rule, an open port, the network perimeter, which traffic is let in, the network protection, the
    wall around the network
security group: a firewall rule, an open port, the network perimeter
ingress: incoming traffic, an open port, a firewall rule for incoming traffic
egress: outgoing traffic, a firewall rule for outgoing traffic
role: a role, access rights, admin privileges, permissions of a user, more power, extra powers, who has which rights,
    authority over systems
permission: a permission, access rights
privilege: admin privileges, elevated rights, more power
policy: an access policy, rules of who may do what, a permission policy
policies: access policies, permission policies
secret: a secret, a stored password, credentials in the vault, a secret from the secret store
parameter: a stored parameter, a secret setting
key: an access key, an API key, a long-lived credential, a signing key, a programmatic credential
token: an access token, a session token, an API token
mfa: a second factor, two-factor authentication, an authenticator phone, a one-time code device, a push notification,
    the two-step login, a phone for login codes
factor: a second factor, two-factor authentication, an authenticator phone
password: a password, a forgotten password, a passphrase
session: a session, a shell on a server, a terminal session, a remote command line
console: the web console
database: a database
schema: the database schema, a table structure, a column or index of a table
table: a database table, rows of data
ticket: a support ticket, a helpdesk case, a trouble report, a customer complaint, an incident, an enquiry or inquiry
    of a user, a problem report, a query put to support
issue: an issue, a trouble report
alert: an alert, an alarm, a page to the on-call engineer, a warning, a pager message
alarm: an alarm, an alert
rule: a rule
alert rule: an alerting rule, an alarm, a detection rule, monitoring of a threshold, the limits at which an alarm
    goes off, a warning threshold
retention: how long logs are kept, log retention, the keeping period of the logs
sink: where logs are sent, a log destination, the log archive, log forwarding
log: logs, log entries, the record of what happened, evidence
logs: logs, log entries
logging: logging, the recording of activity
trail: the audit trail, audit logging of the account, the recording of activity
detector: threat detection, a security monitor
recorder: the recording of configuration changes, a security monitor
dashboard: a dashboard, monitoring screens, charts and graphs
deal: a sales deal, an opportunity in the sales pipeline, an offer to a client, a sale, business of the sales people,
    a prospect, a lead, a quote
note: a note about a customer, a call note, a meeting note
absence: a leave of absence, holidays, vacation, time off, sick leave, days off, annual leave, a sick note, paid time
    off
candidate: a job applicant, a candidate's CV, a recruiting application, an applicant for a job, an application letter
app: an application, a program from the single sign-on portal
application: an application, a program from the single sign-on portal
vpn: the VPN, a remote access tunnel, the company network from home, the tunnel, the line into the company from
    outside
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
backup: a backup, a safety copy, a copy for emergencies
email: an email, mail, a message
mail: an email, mail, a message
mailbox: a mailbox, somebody's mail, an inbox
message: a message, a chat, mail
attachment: an attachment of a mail
call: a phone call, a conversation on the phone
print: a printout, a page from the printer
printer: a printer
calendar: a calendar, appointments
meeting: a meeting, an appointment
order: an order, a purchase
refund: a refund, money given back to a customer, a reimbursement
expense: an expense claim, travel costs
card: a payment card, a credit card, a badge
contract: a contract, an agreement
licence: a licence, a permit to use software
license: a licence, a permit to use software
subscription: a subscription, a paid plan
plan: a plan, a subscription
price: a price, a tariff, a discount
budget: a budget, spending limits
quote: a quote, an offer to a client
salary: a salary, pay, wages
network: a network, an address range, a route
subnet: a subnet, an address range
route: a route of network traffic
record: a record, an entry
dns: a domain name entry
device: a device, a laptop, a phone, an endpoint
laptop: a laptop, a computer of a colleague
endpoint: an endpoint, a laptop, a computer
config: the configuration, settings
configuration: the configuration, settings
flag: a feature flag, a switch in the software
integration: an integration, a connection to another product, a plugin
plugin: a plugin, an extension
extension: a plugin, an extension
credential: a credential, a password or key
credentials: credentials, passwords and keys
variable: an environment variable, a setting
environment: an environment such as production or test
scan: a scan for weaknesses
incident: an incident, an outage, a security case
case: a case, a matter under investigation
consent: a consent, permission that a person gave
page: a page, a wiki article
space: a space of the wiki
channel: a chat channel
project: a project
board: a board of tasks
service: a service, a program in the background
server: a server, a machine, a host
node: a node, a machine of the cluster
site: a site
location: a place, a site
quota: a limit on what may be used
visitor: a visitor, a guest
guest: a guest, an outside account
door: a door, a room, a building
badge: a badge, a key card for doors
stock: stock, goods in the warehouse
shipment: a shipment, a parcel
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
login failure: could not get in, wrong password, guessing a password, locked out, a break-in attempt, mistyped or
    mistook the password, an unsuccessful sign-in, could not log on, locked out of an account
user create: a joiner got an account, onboarding of a new starter, a person was let into the system, somebody new was
    let into our systems as a user, new accounts were set up
user disable: a leaver's or former colleague's account was closed, offboarding of somebody who left the company, a
    person was shut out, an account was blocked
role grant: privilege escalation, somebody became an administrator, more rights than before, somebody was given extra
    powers, rights were handed out
role revoke: demoted, lost access after an access review, a leaver lost the rights, rights were taken back
role assume: break-glass emergency access, temporary use of elevated rights, used somebody else's rights
role list: access review of who has which rights, finding out who has which rights, looking up rights
firewall update: a port was opened to the internet, a hole in the network, a network range was let in, opened a hole
    in the network protection
security group authorize: a port was opened to the internet, a hole in the network
alert rule disable: an alarm was muted, monitoring was blinded, suppressed detection for maintenance, covered tracks,
    alarms were silenced
alert rule update: a threshold of an alarm was tuned, changed when an alarm goes off
alert acknowledge: somebody on pager duty was woken up and answered the alarm
sink delete: covered tracks, stopped the logs from being kept, tampered with logging
sink update: redirected the logs somewhere else, covered tracks
retention update: logs are kept for fewer days, shortened how long evidence is kept, covered tracks, evidence
    disappears sooner
logging stop: covered tracks, switched off the audit log, tampered with logging
trail delete: covered tracks, switched off the audit log, tampered with logging
trail update: audit logging was redirected or reduced
detector delete: switched off threat detection, blinded security monitoring
log query: digging through logs, an investigation in the logs
log export: took copies of the logs, logs left the logging system
dashboard view: watched graphs and charts of the systems
snapshot share: let somebody outside have a copy of the database
snapshot create: made a copy of the database at a point in time
deployment create: went live, new software in production, a new version went live, a release was shipped
deployment rollback: undid a bad release, a release was taken back
instance stop: shut a machine, servers were shut down
session start: logged into a machine by SSH, hands-on work on a server, terminal access through the bastion, got onto
    the command line of a server
user session start: a person logged in, signed in at the login page
user session end: a person logged off, signed out
user authentication: a person logged in, the sign-in was checked
console login: a person signed in to the web console with a password
resource list: reconnaissance, looked around what is there, an inventory of our machines was taken
caller identity get: asked who am I with these credentials, reconnaissance
token refresh: a session was renewed without logging in again
app open: launched a program from the portal, single sign-on to an application
mfa challenge: a push notification nobody answered, bombarded with login prompts, MFA fatigue, asked for the code of
    the second step
mfa enroll: paired a new phone as authenticator, registered a phone for two-step login
mfa reset: lost phone, the one-time code device was replaced
mfa deactivate: switched off the second factor, removed two-factor protection
password reset: forgot the password and got a new one from the helpdesk, a forgotten password was sorted out
password change: chose a new password of one's own
secret read: took credentials out of the password safe, fetched a database password, looked at a stored password of a
    system, stored passwords were opened
key create: programmatic access with a new credential, an access key was handed out
key rotate: the key was exchanged for a fresh one, a key or secret was renewed on schedule
settings update: the branch protection was lifted, a webhook was altered, a repository was made public, let in a
    helper
pull request review: somebody looked over a colleague's code before it went in, peer review
pull request open: proposed a change to the code, contributed code, asked for a change to be taken in
pull request merge: a change went into the main branch, contributed code was accepted into the main line
push: new commits from a developer, developers checked in their code, code was contributed, somebody wrote code
repo clone: took the source code, a copy of the code, took home the whole source code
artifact publish: a container or package was released to the registry
pipeline run: tests ran, a build went red or green, a broken build, tests failed
token create: a personal access token, a long-lived token was handed out
vendor update: the bank account of a supplier was swapped, where money is paid to was changed, payment fraud
vendor read: looked up a supplier
payment create: money going out, paid a supplier, a bank transfer was set up, money was sent out
payment approve: a transfer of money was let through, second pair of eyes on a payment, a bank transfer was released
invoice approve: a bill was signed off, four eyes on an invoice, bills were cleared for payment
invoice create: billed a customer, sent a client a bill, entered a bill
ledger read: looked at the books, had a look at the accounting books
report export: took a quarterly report or list out of the system, a list was taken out of the system as a spreadsheet
erp report export: took financial figures out as a spreadsheet
report run: ran the numbers
payroll export: salary data left the system
payroll read: looked up what colleagues earn, looked at the pay of colleagues
employee create: a new hire was entered by HR
employee update: master data of a member of staff was changed, moved to another department, personnel files were
    edited, a promotion or a move
employee read: visited the staff directory, looked at a personnel record
document download: HR paperwork such as contracts was saved
absence request: somebody wants days off, handed in a holiday, asking for days off, called in sick
absence approve: a manager granted vacation, holidays were granted by a manager
candidate read: opened a CV, recruiting
customer create: won a new client
customer update: a client's address or phone number was changed, contact details of a client were corrected
customer read: looked at one client's profile, personal data of a client, peeked at customer records, looked up a
    client
customer search: looked for clients, went through the customer base, looked up clients
deal update: an opportunity was won or lost, moved to the next stage, business was won or lost
deal read: looked at the sales pipeline
note create: wrote down a call with a customer, left a remark about a client
ticket create: a user raised a new issue with the helpdesk, reported trouble, somebody says that something is broken,
    trouble was reported by a user
ticket assign: escalated or handed a case to somebody else
ticket close: a complaint was solved, a problem was dealt with and settled
ticket comment: support answered the person who asked, support replied, a question of a user was answered
ticket read: looked at a case
file share: a confidential file was given to an outsider, papers were handed to somebody outside
file delete: files vanished, cleanup of old files, papers were thrown away, shredded files
file upload: put documents into the shared drive, put documents into the file share, placed files on the server
file download: took files off the share, took papers home
file folder list: browsed through directories
file read: opened a file
bucket list: looked what is in the storage
object read: data was read out of cloud storage, things were fetched from cloud storage
object write: data was put into cloud storage
db query: SQL on tables, read rows from a table, mass reading from tables
db update: rows were rewritten by hand, manual correction of production data, figures were corrected by hand in the
    database
db export: a large extract of a table, a database dump, large amounts of records were pulled out of the database
db backup: the nightly backup, the database was saved for disaster recovery
db login: connected to the database with a password
schema change: a migration, a column was added, a table was altered or dropped, DDL
vpn connect: working from home, dialled in from abroad, a remote access tunnel was opened, working from outside
    through the tunnel
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
policy read: found out who may do what, looked up which rights a policy gives
identity read: found out which rights a person has, looked up an account
instance start: a machine was brought up
instance reboot: a server was restarted
backup delete: the safety copies were destroyed, no way back after ransomware
backup restore: data was brought back from a copy
user invite: somebody was asked to join, a guest was let in
user delete: an account was erased for good
user lock: locked out after too many tries
payment refund: money was given back to a customer
order cancel: a purchase was called off
message send: wrote to somebody, mail went out
mailbox forward: mail is sent on to an outside address
rule create: mail is moved or forwarded by itself
device enroll: a new laptop or phone was registered
device wipe: a lost phone was erased from afar
certificate renew: the certificate was about to expire
certificate expire: a certificate ran out
scan run: looked for weaknesses
flag update: a feature was switched on or off for users
contract approve: a contract was signed off
contract sign: a contract was signed
salary update: a pay rise, somebody's pay was changed
network create: a new network was set up
route update: traffic was sent another way
door open: somebody entered the building
print: paper came out of the printer
"""


def table(text: str) -> dict[str, tuple[str, ...]]:
    """Return the lines of a table: a key, a colon, and what is said for it between commas."""
    # An indented line goes on with the one above.
    rows = (line.split(":", 1) for line in text.strip().replace("\n    ", " ").splitlines())
    return {words.strip(): tuple(each.strip() for each in said.split(",")) for words, said in rows}


VERBS: Final = table(_VERBS)
THINGS: Final = table(_THINGS)
AREAS: Final = table(_AREAS)
PHRASES: Final = table(_PHRASES)
