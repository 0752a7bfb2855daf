-- To whom a scheduled report was or is to be sent, sealed.
select delivery_id, sealed_recipient from audit_report_deliveries
where tenant_id = %(tenant_id)s and report_id = %(key)s::uuid and sealed_recipient is not null
