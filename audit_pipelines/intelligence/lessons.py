"""Labelled examples: what acts of every kind of product look like in words, with their category and risk.

Here: sentences in the form of canonical texts (`render`), written by hand, naming no product. Not here: rules over
words (`weak_labels`), learning (`classifiers`). It exists because a tenant of three events teaches nothing, and because
rules know only words: an example lends its label to every text that means the same.
"""

from dataclasses import dataclass
from functools import cache
from typing import Final

from audit_pipelines.intelligence.weak_labels import Category, Risk


@dataclass(frozen=True)
class Lesson:
    """One example: a canonical text with the labels it deserves."""

    text: str
    category: Category
    risk: Risk


# Per category and risk, one example a line: event; entity; outcome; details (entity `entity`, outcome `success` where
# left out). The risk is that of the act itself were it done by the wrong hands: looking is low, losing is critical.
_EXAMPLES: Final[dict[tuple[Category, Risk], str]] = {
    ("authentication", "low"): """
        user signed in; user
        sign out; user
        interactive login succeeded; account; success; mfa
        single sign on session opened; session
        second factor challenge passed; user
        refresh session; session
    """,
    ("authentication", "medium"): """
        sign in attempt; user; failure; wrong password
        second factor challenge; user; denied
        password changed by its owner; user
        account recovery started; user
        sign in from a new device; user
        login name and password set for console; user
    """,
    ("authentication", "high"): """
        sign in; root account; success; without mfa
        second factor removed; user
        reset all authenticators of a user; user; success; reset
        requirement of two factor authentication switched off; organization
        single sign on disabled; organization
        identity provider for federated login added; domain
        single sign on certificate replaced; identity provider
    """,
    ("access", "low"): """
        who am i; account
        switch to another role; role
        terminal session closed; host
        member of an application updated; app
    """,
    ("access", "medium"): """
        create account for a new person; user
        suspend user; user
        account unlocked; user
        invite guest; user; success; external
        assign user to application; app
        remove user account; user
        take on role; role
        create service principal; service account
        device registered; device
    """,
    ("access", "high"): """
        open shell in container; pod; success; exec
        interactive session on machine; host
        act on behalf of another user; user; success
        proxy connection into node; node
        serial console connected; instance
        remote support session by vendor; account
    """,
    ("data_access", "low"): """
        document opened; document
        list files; folder
        query table; table
        view customer; customer record
        search records; record
        chart of patient read; patient record
        fetch repository; repository
        get report; report
        mail read; mailbox
        read item; table
        list all accounts and policies; account
    """,
    ("data_access", "medium"): """
        emergency access to patient chart; patient record; success; override
        bulk query; table; success; bulk
        search across all mailboxes; mailbox
        read database snapshot; database
        read refused; document; denied
    """,
    ("data_change", "low"): """
        document edited; document
        record created; record
        order approved; order
        comment added to page; page
        upload file; file
        medication order entered; prescription
        visit moved to another day; appointment
        commit pushed; repository
        channel created; channel
        lab sample registered; sample
    """,
    ("data_change", "medium"): """
        file removed; file
        record deleted; record
        object overwritten; object
        history rewritten by force push; repository; success; force
        diagnosis corrected; patient record
    """,
    ("data_change", "high"): """
        repository deleted; repository
        storage account removed; storage
        mass deletion of files; file; success; mass
        table dropped; table
        bucket emptied and deleted; bucket
    """,
    ("data_change", "critical"): """
        database destroyed; database; success
        backup erased; backup
        all recovery points deleted; backup vault
        files encrypted by ransomware; host
    """,
    ("data_export", "medium"): """
        download document; document
        print record; record
        report saved as csv; report; success; format csv
        archive of repository downloaded; repository
    """,
    ("data_export", "high"): """
        all records exported; record; success; mass
        database dump; database
        snapshot shared with another account; snapshot; success; external
        image made public; image; success; public
        link for anyone created; file; success; anonymous
        document shared outside; document; success; external
        forward mail to an outside address; mailbox; success; forwarding, external
        mail rule moves messages to another address; mailbox
        workspace data export requested; workspace
        transfer of files to personal drive; file
        copy of bucket into foreign account; bucket
    """,
    ("privilege_change", "medium"): """
        permission removed; user
        member removed from group; group
        role deleted; role
        member added to team; team; success; member
        collaborator added to repository; repository
        group created; group
        access of group read; group
    """,
    ("privilege_change", "high"): """
        role granted; user
        policy attached; role
        inline policy written; user
        trust of role changed; role
        permission of bucket changed; bucket
        permission given on mailbox; mailbox; success; full access
        application consented to by user; application
        wider scopes given to app; app
        resource policy opened to everyone; resource; success; everyone
        repository made public; repository; success; public
        role bound to service account; role binding
        function may be called by another account; function
        user joined group of administrators; group
        permissions of storage bucket set; bucket
    """,
    ("privilege_change", "critical"): """
        made administrator; user; success; administrator
        owner changed; organization; success; owner
        cluster administrator bound; cluster role binding; success; everything
        global administrator assigned; directory role
        full access policy attached; user; success; policy administrator access
    """,
    ("configuration", "low"): """
        display name changed; workspace
        theme set; setting
        tag added; resource
        feature switched on for beta users; feature flag
        template edited; template
        configuration read; setting
    """,
    ("configuration", "medium"): """
        settings updated; organization
        webhook added; integration
        app installed; app
        lifecycle of objects changed; bucket
        versioning suspended; bucket; success; suspended
        retention shortened; setting; success; retention
        machine metadata edited; instance
        configuration map changed; config
        sign on policy rule changed; policy
        access policy for devices changed; policy
    """,
    ("configuration", "high"): """
        branch protection removed; branch
        review requirement bypassed; branch; success; bypass
        security policy disabled; policy; success; disabled
        organization left; organization
        encryption switched off; storage; success; without encryption
        admission policy deleted; policy
        lock against deletion removed; resource
    """,
    ("network", "low"): """
        list firewall rules; network
        describe routes; route table
        address resolved; domain
    """,
    ("network", "medium"): """
        route changed; route table
        record of domain changed; dns zone
        network peering made; network
        allowed addresses updated; network
        load balancer created; load balancer
        firewall rule revoked; firewall
        router updated; router
    """,
    ("network", "high"): """
        inbound rule opened; firewall; success; any address
        firewall deleted; firewall
        isolation of pods removed; network policy
        traffic mirrored to another machine; network
        allow list disabled; network; success; disabled
        web application firewall removed; firewall
        port opened to the internet; security group; success; any address
    """,
    ("logging_and_monitoring", "low"): """
        alarm listed; alarm
        events of trail searched; trail
        log viewed; log
        dashboard of metrics opened; dashboard
    """,
    ("logging_and_monitoring", "medium"): """
        detector reports finding; host; success; suspicious
        alert raised; alert
        alarm threshold changed; alarm
        threat seen; host
        malicious mail blocked; mailbox; denied
    """,
    ("logging_and_monitoring", "high"): """
        logging settings changed; trail
        log filter narrowed; log sink
        alarm muted; alarm
        scanning for secrets switched off; repository
        logging of bucket changed; bucket
        retention of logs shortened; log group
        audit settings changed; organization
        finding suppressed; detector
    """,
    ("logging_and_monitoring", "critical"): """
        trail stopped; trail; success; disabled
        logs deleted; log group
        monitoring switched off; detector; success; disabled
        diagnostic logging removed; resource
        audit log disabled; organization; success; disabled
        log export destroyed; log sink
        recorder of configuration stopped; recorder
        flow logging of network removed; network
        audit stream ended; log stream
    """,
    ("secrets_and_keys", "low"): """
        key metadata read; key
        list names of secrets; secret
        data decrypted; key
        certificate listed; certificate
    """,
    ("secrets_and_keys", "medium"): """
        access key rotated; access key; success; rotated
        access key removed; access key
        read of secret refused; secret; denied
        access token of person approved; token
        token revoked; token
    """,
    ("secrets_and_keys", "high"): """
        secret read; secret
        access key made; user
        api token issued; token
        ssh key added; user
        keys of storage account listed; storage account
        credential added to application; service principal
        password of machine read; instance
        key for service account created; service account
        deploy key added; repository
        parameter decrypted; parameter
        temporary credentials for federated user; token
        secret changed; secret
        token for service account requested; service account
    """,
    ("secrets_and_keys", "critical"): """
        encryption key deleted; key
        key scheduled for deletion; key
        encryption key disabled; key; success; disabled
        vault purged; vault
        customer key removed from workspace; workspace
    """,
    ("compute", "low"): """
        list machines; instance
        job finished; job
        pod listed; pod
        function called; function
        build started; pipeline
        pod removed; pod
        deployment scaled; deployment
        workflow run; workflow
    """,
    ("compute", "medium"): """
        start virtual machine; virtual machine
        terminate machine; instance
        container launched; container
        function code updated; function
        deployment changed; deployment
        create pod; pod
        disk copied; volume
        image built; image
        scheduled job created; job
    """,
    ("compute", "high"): """
        command sent to machines; instance; success; command
        script run on virtual machine; virtual machine
        privileged container created; pod; success; privileged
        start up script changed; instance; success; script
        library installed on all clusters; cluster
    """,
    ("billing", "low"): """
        invoice viewed; invoice
        bill issued; invoice
        claim submitted; claim
        subscription renewed; subscription
        case closed and coded; case
    """,
    ("billing", "medium"): """
        invoice voided; invoice
        payment released; payment
        money given back; payment
        salary run started; payroll
        spending limit changed; budget
        price list changed; price
    """,
    ("billing", "high"): """
        bank details of supplier changed; supplier; success; bank account
        payee account replaced; payment
        salary account changed; employee
    """,
    ("other", "low"): """
        keepalive; service
        heartbeat received; agent
        test message; test
        ping; service
        noop; entity
    """,
}


@cache
def lessons() -> tuple[Lesson, ...]:
    """Return all examples, ordered by text, each text once."""
    found = {}
    for (category, risk), lines in _EXAMPLES.items():
        for line in filter(None, map(str.strip, lines.splitlines())):
            event, entity, outcome, details = (*line.split("; ", 3), "", "", "")[:4]
            text = "; ".join(filter(None, (event, entity or "entity", outcome or "success", details)))
            found[text] = Lesson(text, category, risk)
    return tuple(found[text] for text in sorted(found))
