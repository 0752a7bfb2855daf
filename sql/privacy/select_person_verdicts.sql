-- What was said of a person's events, and which alerts about them are held back; by whom is data of others.
select jsonb_build_object('kind', 'verdict', 'seq', v.seq, 'verdict', v.verdict, 'comment', v.comment,
    'given_at', v.given_at, 'by_the_person', v.given_by = %(actor_ref)s)
from audit_verdicts v
where v.tenant_id = %(tenant_id)s
  and (v.given_by = %(actor_ref)s
       or v.seq in (select seq from audit_anomalies where tenant_id = %(tenant_id)s and actor_ref = %(actor_ref)s))
union all
select jsonb_build_object('kind', 'suppression', 'event_type', s.event_type, 'reason', s.reason,
    'placed_at', s.placed_at, 'ends_at', s.ends_at, 'ended_at', s.ended_at, 'by_the_person', s.placed_by = %(actor_ref)s)
from audit_suppressions s
where s.tenant_id = %(tenant_id)s and %(actor_ref)s in (s.actor_ref, s.placed_by)
