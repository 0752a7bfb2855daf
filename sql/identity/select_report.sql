-- The digest that a report of the tenant had when it was written last.
select output_digest from audit_lineage
where output_kind in ('security_report', 'compliance_report', 'access_review', 'person_report') and output_key = %(id)s
order by lineage_id desc
limit 1
