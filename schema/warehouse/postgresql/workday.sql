-- Workday Recruiting. Fivetran's Workday HCM connector has no recruiting tables; what recruiting knows comes by its Workday
-- RaaS connector, which syncs a custom report as one table. The report is the customer's own, so its columns are an
-- agreement: docs/warehouse.md tells how to make it. Assumed here are the table job_applications and the columns
--
--   job_application_id     the primary key that is chosen for the report
--   candidate_email        the candidate's addresses; Workday joins several by semicolons
--   candidate_stage        the current stage, or the disposition once it has one
--   stage_date             when the application came to it
--   interview_date         the next interview; Workday has no other place for it in a report of applications
--
-- Dates are read by their first characters, since the connector leaves what a report calls text as text.
SELECT 'workday'::text AS system,
       r.job_application_id::text AS application_id,
       ARRAY(SELECT DISTINCT lower(trim(address)) FROM regexp_split_to_table(r.candidate_email::text, '[;,]') AS address WHERE address LIKE '%@%') AS addresses,
       {{company}}::text AS company,
       NULLIF(trim(r.candidate_stage::text), '') AS stage,
       CASE WHEN r.stage_date::text ~ '^\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])' THEN r.stage_date::text::timestamptz END AS last_stage_change,
       CASE WHEN r.interview_date::text ~ '^\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])'
             AND r.interview_date::text::timestamptz >= now() - interval '14 days' THEN r.interview_date::text::timestamptz END AS interview_date,
       r._fivetran_synced::timestamptz AS synced_at,
       COALESCE((to_jsonb(r) ->> '_fivetran_deleted')::boolean, false) AS deleted
FROM {{schema}}.job_applications r
