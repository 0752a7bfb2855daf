import json
from audit_pipelines.privacy import erasing
from audit_pipelines.ledger import verify_certificate as vc
def test_try(stocked, run, story, tenant_id):
    assert run("full_refresh_job").success
    import collections
    who = collections.Counter(e.actor for e in story[:500]).most_common(3)[1][0]
    begun = erasing.begin(stocked, tenant_id, who)
    cert = erasing.finish(stocked, tenant_id, begun.actor_ref, run_id="x")
    print(cert)
    print("\n".join(vc.verify_certificate(cert.encode(), str(stocked.verifier_keys[0]))))
    assert erasing.finish(stocked, tenant_id, begun.actor_ref, run_id="x") == cert
    assert run("full_refresh_job").success
    assert 0
