-- The runs that have claimed due reports.
select distinct run_id from audit_due_reports where state = 'making'
