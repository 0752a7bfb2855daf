-- Of Dagster's own database: when each job last succeeded.
select pipeline_name, to_timestamp(max(end_time)) from runs where status = 'SUCCESS' and end_time is not null
group by pipeline_name
