-- The table of a custom report of Workday's job applications, as Fivetran's RaaS connector syncs it; see docs/warehouse.md.
CREATE SCHEMA {{schema}};
CREATE TABLE {{schema}}.job_applications (
    job_application_id text PRIMARY KEY, _fivetran_deleted boolean, _fivetran_synced timestamptz, candidate_email text,
    candidate_stage text, stage_date text, interview_date text);
