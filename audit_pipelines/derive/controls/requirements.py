"""What laws and standards ask of an audit trail, each with what shows it: controls, people, or nothing here.

Numbers are quoted, wording is paraphrased: what binds is the text itself. Each requirement has exactly one of controls,
a gap that this product leaves, or neither, and is then the organisation's alone. `organisation` says what people must
do, which no passing control replaces. Data and nothing else; `docs/controls.md` prints it.
"""

from dataclasses import dataclass
from typing import Final

PART_11: Final = "21 CFR Part 11"
PCI_DSS: Final = "PCI DSS 4.0"
SOC_2: Final = "SOC 2"
ISO_27001: Final = "ISO/IEC 27001:2022"
HIPAA: Final = "HIPAA Security Rule, 45 CFR 164"
SEC_17A_4: Final = "SEC Rule 17a-4, 17 CFR 240.17a-4"
GDPR: Final = "GDPR"
AI_ACT: Final = "EU AI Act"

FRAMEWORKS: Final = {
    PART_11: "21 CFR",
    PCI_DSS: "PCI DSS",
    SOC_2: "SOC 2",
    ISO_27001: "ISO 27001",
    HIPAA: "45 CFR",
    SEC_17A_4: "17a-4",
    GDPR: "GDPR",
    AI_ACT: "AI Act",
}
"""Each framework in full, and as it is named beside a number."""


@dataclass(frozen=True, slots=True)
class Requirement:
    """One requirement and what shows that it is met."""

    framework: str
    number: str
    asks: str
    controls: tuple[str, ...] = ()
    """Keys of the controls that show it: all of them must hold."""
    organisation: str = ""
    """What people must do; without controls and gap, all of it."""
    gap: str = ""
    """Why this product does not meet it."""


def _of(framework: str, *rows: tuple[str, str, str, str]) -> tuple[Requirement, ...]:
    """Return a framework's requirements from rows of number, what it asks, keys of controls, the organisation's part.

    Where there are no keys, a part that begins with `gap: ` is what the product lacks.
    """
    made = []
    for number, asks, keys, rest in rows:
        gap = rest.removeprefix("gap: ") if rest.startswith("gap: ") else ""
        made.append(Requirement(framework, number, asks, tuple(keys.split()), "" if gap else rest, gap))
    return tuple(made)


REQUIREMENTS: Final = (
    *_of(
        PART_11,
        (
            "11.10(a)",
            "Validated systems that are accurate and reliable and discern invalid or altered records",
            "ledger_intact signatures_bound",
            "Validates its own use of the system and keeps the record of that.",
        ),
        (
            "11.10(b)",
            "Accurate and complete copies, human readable and electronic, for inspection",
            "evidence_given",
            "Hands them over when asked.",
        ),
        (
            "11.10(c)",
            "Records protected and readily retrievable throughout their retention period",
            "archives_complete history_retained",
            "Keeps backups, also of signed reports in storage/.",
        ),
        (
            "11.10(d)",
            "Access limited to authorised individuals",
            "tenants_apart least_privilege passwords_strong sessions_end",
            "Decides who gets an account and disables it in time.",
        ),
        (
            "11.10(e)",
            "Secure, computer-generated, time-stamped audit trails that obscure nothing recorded before",
            "ledger_intact append_only sealed_in_time clocks_agree",
            "Reads them: see the daily reviews.",
        ),
        (
            "11.10(f)",
            "Operational checks that enforce permitted sequencing of steps, as appropriate",
            "",
            (
                "Watches its own sequences of signatures. The software enforces only that a login precedes signing, a "
                "password set by others is replaced first, and a record exists before it is signed."
            ),
        ),
        (
            "11.10(g)",
            "Authority checks: only authorised individuals use the system, sign, or alter a record",
            "least_privilege accounts_recorded sessions_end",
            "Decides who may sign what: the permission to sign covers all kinds of records.",
        ),
        (
            "11.10(h)",
            "Device checks that the source of input is valid, as appropriate",
            "",
            "Says which devices are allowed. The ledger keeps the address, sealed, and user agent of each login.",
        ),
        (
            "11.10(i)",
            "Persons who develop, maintain or use the system are educated, trained, experienced",
            "",
            "Trains, and keeps the records of it.",
        ),
        (
            "11.10(j)",
            "Written policies that hold individuals accountable for what they sign",
            "",
            "Writes them and has them followed.",
        ),
        (
            "11.10(k)",
            "Control over distribution of, and changes to, documentation of the system",
            "",
            "Controls its copies of the documents and keeps their history.",
        ),
        (
            "11.30",
            "Open systems: further measures such as encryption and digital signatures, as necessary",
            "transport_guarded keys_guarded ledger_intact",
            "Ends TLS in front of the API, where records leave the house.",
        ),
        (
            "11.50(a)",
            "Signed records show printed name, date and time, and meaning of the signature",
            "signatures_bound",
            "Enters printed names as persons are known.",
        ),
        (
            "11.50(b)",
            "The same in every human readable form of the record, under the same control",
            "signatures_bound",
            "Prints the signatures of a signed PDF with it: they are not in the file, whose bytes were signed.",
        ),
        (
            "11.70",
            "Signatures linked to their records so that they cannot be excised, copied or transferred",
            "signatures_bound checkpoints_anchored",
            "Keeps an anchor where administrators of the database cannot write.",
        ),
        (
            "11.100(a)",
            "Each signature unique to one individual, never reused by or reassigned to anybody else",
            "accounts_unique",
            "Gives each person an account of their own and shares none.",
        ),
        (
            "11.100(b)",
            "The individual's identity is verified before a signature is assigned",
            "",
            "Verifies who somebody is before making the account.",
        ),
        (
            "11.100(c)",
            "The agency is told that electronic signatures are meant to bind like handwritten ones",
            "",
            "Certifies that to the agency.",
        ),
        (
            "11.200(a)(1)",
            "Two components; both at the first signing of a session, later at least one that only the signer has",
            "sessions_end passwords_strong signatures_bound",
            "Sets the idle time.",
        ),
        (
            "11.200(a)(2)",
            "Signatures used by their genuine owners alone",
            "passwords_strong tries_limited",
            "Lets nobody sign for another, and enforces it.",
        ),
        (
            "11.200(a)(3)",
            "Use by anyone but the owner takes collaboration of two or more individuals",
            "accounts_recorded passwords_strong",
            "Keeps those who administer accounts from acting as signers, and reads the events of replaced passwords.",
        ),
        (
            "11.200(b)",
            "Biometric signatures usable by their genuine owners alone",
            "",
            "gap: Not offered: signatures here are made with login and password.",
        ),
        (
            "11.300(a)",
            "No two individuals with the same combination of identification code and password",
            "accounts_unique",
            "",
        ),
        (
            "11.300(b)",
            "Issuances periodically checked, recalled or revised, such as password ageing",
            "passwords_strong",
            "Goes through the list of accounts with their last logins.",
        ),
        (
            "11.300(c)",
            "Loss management: lost or compromised devices and codes are deauthorised",
            "sessions_end",
            "Tells whoever administers at once; users disable and users passwd end all sessions.",
        ),
        (
            "11.300(d)",
            "Transaction safeguards against unauthorised use of codes and passwords",
            "tries_limited accounts_recorded",
            "",
        ),
        (
            "11.300(d), report",
            "Attempts at unauthorised use reported immediately and urgently to security, and to management",
            "",
            (
                "gap: A lock-out is an entry of the ledger and a warning in the server's log at once; nobody is "
                "written to. "
                "Forward that log to whom it concerns."
            ),
        ),
        (
            "11.300(e)",
            "Initial and periodic testing of tokens and cards that hold codes",
            "",
            "Tests those of its identity provider; the software has none of its own.",
        ),
    ),
    *_of(
        PCI_DSS,
        (
            "10.1.1",
            "Policies and procedures of requirement 10 documented, current, in use and known",
            "",
            "Writes, keeps and makes them known.",
        ),
        (
            "10.1.2",
            "Roles and responsibilities of requirement 10 documented, assigned and understood",
            "",
            "Assigns them.",
        ),
        (
            "10.2.1",
            "Audit logs enabled and active for all system components and cardholder data",
            "ledger_intact reading_recorded",
            "Connects each of its systems; the alert of silent sources tells which one stopped.",
        ),
        (
            "10.2.1.1",
            "Logs capture all individual user access to cardholder data",
            "",
            "Has its applications send each access; the product itself keeps no cardholder data.",
        ),
        (
            "10.2.1.2",
            "Logs capture all actions by individuals with administrative access",
            "accounts_recorded",
            (
                "Sends what administrators do on machines and in the database; accounts, holds and deletions here are "
                "entries."
            ),
        ),
        (
            "10.2.1.3",
            "Logs capture all access to audit logs",
            "reading_recorded",
            "Reads of the database and its files past the product are not seen by it: log them there.",
        ),
        (
            "10.2.1.4",
            "Logs capture all invalid logical access attempts",
            "tries_limited",
            "Sends those of its other systems.",
        ),
        (
            "10.2.1.5",
            "Logs capture all changes to identification and authentication credentials",
            "accounts_recorded",
            "Sends those of its identity provider.",
        ),
        (
            "10.2.1.6",
            "Logs capture initialisation of new logs, and starting, stopping or pausing of existing ones",
            "",
            (
                "gap: That a server was started or stopped, or access logging switched off, is no entry of the ledger. "
                "This report says when it is off now. Log it where processes and their settings are managed."
            ),
        ),
        (
            "10.2.1.7",
            "Logs capture creation and deletion of system-level objects",
            "",
            (
                "gap: Migrations are recorded with their digests in a table, deleted months in the ledger; others, "
                "such as tables made by hand, are not. Log them in the database's own log."
            ),
        ),
        (
            "10.2.2",
            "Each entry has user, type, date and time, outcome, origin, and what was affected",
            "ledger_intact clocks_agree",
            "Has its applications send outcome and origin: both may be absent.",
        ),
        (
            "10.3.1",
            "Read access to audit logs limited to those with a job-related need",
            "tenants_apart least_privilege",
            "Decides who has the need, and who has an account on the machine.",
        ),
        ("10.3.2", "Audit logs protected against modification by individuals", "append_only", ""),
        (
            "10.3.3",
            "Audit logs promptly backed up to a central server or media that are difficult to modify",
            "",
            "Backs up the database and the archive. Anchors hold digests: they show loss and bring nothing back.",
        ),
        (
            "10.3.4",
            "File integrity monitoring or change detection on audit logs, with alerts",
            "ledger_intact checkpoints_anchored sealed_in_time",
            "Has somebody told when verification_job fails.",
        ),
        ("10.4.1", "Audit logs of the named kinds reviewed at least once daily", "reviews_signed", ""),
        ("10.4.1.1", "Automated mechanisms perform the reviews of audit logs", "reviews_made events_scored", ""),
        ("10.4.2", "Logs of all other system components reviewed periodically", "", "Reviews them."),
        ("10.4.2.1", "The frequency of those reviews set by a targeted risk analysis", "", "Makes that analysis."),
        (
            "10.4.3",
            "Exceptions and anomalies found in reviews addressed",
            "",
            "Addresses them; verdicts on anomalies are kept.",
        ),
        (
            "10.5.1",
            "Audit log history kept for 12 months, the last three immediately available",
            "history_retained archives_complete",
            "",
        ),
        (
            "10.6.1",
            "System clocks synchronised with time-synchronisation technology",
            "",
            "Runs it on each machine; no program can see who sets its clock.",
        ),
        (
            "10.6.2",
            "Systems configured to the correct and consistent time",
            "clocks_agree",
            "Takes the time from designated servers and known sources.",
        ),
        ("10.6.3", "Time settings and data protected", "", "Restricts and logs who may change clocks."),
        (
            "10.7.1",
            "Service providers: failures of critical security controls detected, alerted and addressed promptly",
            "sealed_in_time reviews_made",
            "Has the alerts reach somebody, and addresses what they say.",
        ),
        (
            "10.7.2",
            "Failures of critical security controls, audit logging and review included, detected and alerted",
            "sealed_in_time reviews_made checkpoints_anchored",
            "Watches its other controls.",
        ),
        (
            "10.7.3",
            "Failures of critical security controls responded to promptly",
            "",
            "Restores, finds the cause, and records both.",
        ),
    ),
    *_of(
        SOC_2,
        (
            "CC6.1",
            "Logical access security over protected information assets",
            "tenants_apart least_privilege passwords_strong persons_sealed keys_guarded",
            "Describes its own boundaries and architecture.",
        ),
        (
            "CC6.2",
            "Users registered and authorised before credentials are issued, and removed when not authorised any more",
            "accounts_recorded sessions_end",
            "Authorises each user, and removes them in time.",
        ),
        (
            "CC6.7",
            "Transmission, movement and removal of information restricted and protected",
            "transport_guarded",
            "Ends TLS in front of the API.",
        ),
        (
            "CC7.2",
            "Components monitored for anomalies that indicate malicious acts, disasters and errors",
            "events_scored reviews_made ledger_intact tries_limited",
            "Connects its systems and looks at what is found.",
        ),
        ("CC7.3", "Security events evaluated whether they are incidents", "", "Evaluates them; verdicts are kept."),
    ),
    *_of(
        ISO_27001,
        (
            "A.5.28",
            "Evidence of security events identified, collected, acquired and preserved",
            "evidence_given checkpoints_anchored",
            "Has a procedure for it.",
        ),
        (
            "A.5.33",
            "Records protected from loss, destruction, falsification, unauthorised access and release",
            "append_only archives_complete holds_kept tenants_apart",
            "Keeps backups and a schedule of retention.",
        ),
        (
            "A.8.2",
            "Privileged access rights restricted and managed",
            "least_privilege",
            "Restricts who is a superuser of the database and of the machine.",
        ),
        (
            "A.8.3",
            "Access to information restricted as the access policy says",
            "tenants_apart reading_recorded",
            "Has such a policy.",
        ),
        (
            "A.8.10",
            "Information deleted when no longer required",
            "erasures_certified",
            "Decides when it is not; archives go by approval of two persons.",
        ),
        (
            "A.8.15",
            "Logs of activities, exceptions and faults produced, stored, protected and analysed",
            "ledger_intact append_only checkpoints_anchored reading_recorded reviews_signed",
            "Keeps an anchor in other hands than the database.",
        ),
        (
            "A.8.16",
            "Networks, systems and applications monitored for anomalous behaviour",
            "events_scored",
            "Connects them, and evaluates what is found.",
        ),
        ("A.8.17", "Clocks synchronised to approved time sources", "clocks_agree", "Approves and runs the sources."),
        (
            "A.8.24",
            "Rules for use of cryptography and management of keys",
            "keys_guarded persons_sealed",
            "Keeps copies of keys apart from copies of data, and rotates them.",
        ),
    ),
    *_of(
        HIPAA,
        (
            "164.308(a)(1)(ii)(D)",
            "Records of activity, such as audit logs and access reports, reviewed regularly",
            "reviews_signed",
            "",
        ),
        (
            "164.308(a)(5)(ii)(C)",
            "Log-in attempts monitored and discrepancies reported",
            "tries_limited",
            "Has somebody read them.",
        ),
        (
            "164.312(a)(1)",
            "Access to electronic protected health information for those alone who have rights",
            "tenants_apart least_privilege",
            "Grants the rights.",
        ),
        ("164.312(a)(2)(i)", "A unique name or number for each user", "accounts_unique", ""),
        ("164.312(a)(2)(ii)", "Procedures to get at needed information in an emergency", "", "Has and tests them."),
        ("164.312(a)(2)(iii)", "Automatic logoff after a time of inactivity", "sessions_end", "Sets the time."),
        (
            "164.312(a)(2)(iv)",
            "Encryption and decryption",
            "persons_sealed addresses_sealed",
            "Encrypts disks: types, entities and details that are not sealed stand in clear.",
        ),
        (
            "164.312(b)",
            "Mechanisms that record and examine activity in systems with such information",
            "reading_recorded accounts_recorded ledger_intact events_scored",
            "Connects those systems.",
        ),
        (
            "164.312(c)(1)",
            "Information protected from improper alteration or destruction",
            "append_only archives_complete",
            "Keeps backups.",
        ),
        (
            "164.312(c)(2)",
            "Mechanisms to corroborate that information has not been altered or destroyed",
            "ledger_intact checkpoints_anchored",
            "",
        ),
        (
            "164.312(d)",
            "Whoever seeks access is who they claim to be",
            "passwords_strong tries_limited",
            "Verifies identities; asks for a second factor at its identity provider.",
        ),
        (
            "164.312(e)(1)",
            "Transmission over networks guarded against unauthorised access",
            "transport_guarded",
            "Ends TLS in front of the API.",
        ),
    ),
    *_of(
        SEC_17A_4,
        (
            "(f)(2)(i)(A)",
            "A complete time-stamped audit trail for the whole retention period: changes, deletions, when, by whom",
            "ledger_intact append_only archives_complete clocks_agree",
            "Sets the retention period, and records its business records' changes as events.",
        ),
        (
            "(f)(2)(i)(B)",
            "Or records kept exclusively in a non-rewriteable, non-erasable format",
            "",
            "Is the alternative to (A). An anchor or backup under object lock is the organisation's to set up.",
        ),
        (
            "(f)(2)(ii)",
            "Completeness and accuracy of storing and retaining verified automatically",
            "ledger_intact sealed_in_time reviews_made archives_complete",
            "",
        ),
        (
            "(f)(2)(iii)",
            "If applicable, units of storage media serialised and information time-dated",
            "",
            "Applies where such media are used.",
        ),
        (
            "(f)(2)(iv)",
            "Copies of a record and its audit trail readily downloaded, human readable and electronic",
            "evidence_given",
            "Transfers them as the staff of the Commission asks.",
        ),
        (
            "(f)(2)(v)",
            "A backup system, or other redundancy that ensures access",
            "",
            "Runs a standby or restores backups, and tries it.",
        ),
        (
            "(f)(3)",
            "Facilities, an executive officer's or third party's undertaking, and access for examiners",
            "",
            "Designates and files them.",
        ),
    ),
    *_of(
        GDPR,
        (
            "Art. 5(1)(a)-(d)",
            "Lawfulness, purpose limitation, minimisation, accuracy",
            "",
            "Decides what is sent to the trail, on which ground, and no more than needed.",
        ),
        (
            "Art. 5(1)(e)",
            "No longer in identifying form than necessary",
            "erasures_certified",
            "Sets the time limits; archives past theirs go by approval of two persons.",
        ),
        (
            "Art. 5(1)(f)",
            "Integrity and confidentiality",
            "ledger_intact tenants_apart persons_sealed",
            "",
        ),
        ("Art. 5(2)", "Compliance can be demonstrated", "reading_recorded evidence_given", ""),
        (
            "Art. 15",
            "A person gets access to their data",
            "person_answered",
            "Makes sure who asks, and answers within a month.",
        ),
        (
            "Art. 17(1), (2)",
            "A person's data are erased, and those who received copies told",
            "erasures_certified",
            "Decides whether a ground to keep them outweighs; tells those who received copies.",
        ),
        ("Art. 17(3)", "Exceptions, such as legal claims", "holds_kept", "Places holds where a claim needs it."),
        ("Art. 20", "A person gets their data in a structured, common, machine-readable format", "person_answered", ""),
        (
            "Art. 30",
            "A record of processing activities",
            "processing_recorded",
            "Completes the record with what the software cannot know.",
        ),
        ("Art. 32(1)(a)", "Pseudonymisation and encryption", "persons_sealed addresses_sealed keys_guarded", ""),
        (
            "Art. 32(1)(b)",
            "Ongoing confidentiality, integrity, availability and resilience",
            "tenants_apart ledger_intact archives_complete",
            "Runs what availability needs.",
        ),
        (
            "Art. 32(1)(c)",
            "Access restored in time after an incident",
            "",
            "Restores a backup now and then to see that it can.",
        ),
        (
            "Art. 32(1)(d)",
            "Measures regularly tested, assessed and evaluated",
            "reviews_made",
            "Evaluates what these controls show.",
        ),
    ),
    *_of(
        AI_ACT,
        (
            "Art. 12(1)",
            "High-risk systems record events automatically over their lifetime",
            "models_traceable ledger_intact",
            "Decides whether its use is high-risk, and has its own systems send their events.",
        ),
        (
            "Art. 12(2)",
            "The events allow risks, substantial changes and operation to be followed",
            "models_traceable events_scored",
            "Sends what its systems need recorded.",
        ),
        (
            "Art. 12(3)",
            "Remote biometric identification: a minimum of what is recorded",
            "",
            "Sends those events, where it uses such a system.",
        ),
        (
            "Art. 26(6)",
            "Deployers keep the logs under their control for six months or longer",
            "history_retained archives_complete",
            "Keeps them longer where other law says so.",
        ),
    ),
)
