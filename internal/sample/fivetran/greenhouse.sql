-- The tables that Fivetran's Greenhouse connector leaves and that matter here, with their columns.
CREATE SCHEMA {{schema}};
CREATE TABLE {{schema}}.application (
    id bigint PRIMARY KEY, _fivetran_deleted boolean, _fivetran_synced timestamptz, applied_at timestamptz, candidate_id bigint,
    credited_to_user_id bigint, current_stage_id bigint, is_deleted boolean, last_activity_at timestamptz, location_address text,
    prospect boolean, prospect_owner_id bigint, prospect_pool_id bigint, prospect_stage_id bigint, rejected_at timestamptz,
    rejected_reason_id bigint, source_id bigint, status text);
CREATE TABLE {{schema}}.application_history (
    application_id bigint, updated_at timestamptz, _fivetran_synced timestamptz, new_stage_id bigint, new_status text,
    PRIMARY KEY (application_id, updated_at));
CREATE TABLE {{schema}}.candidate (
    id bigint PRIMARY KEY, _fivetran_deleted boolean, _fivetran_synced timestamptz, company text, coordinator_id bigint,
    created_at timestamptz, first_name text, is_private boolean, last_activity timestamptz, last_name text, new_candidate_id bigint,
    photo_url text, recruiter_id bigint, title text, updated_at timestamptz);
CREATE TABLE {{schema}}.email_address (
    candidate_id bigint, index integer, _fivetran_synced timestamptz, type text, value text, PRIMARY KEY (candidate_id, index));
CREATE TABLE {{schema}}.job (
    id bigint PRIMARY KEY, _fivetran_deleted boolean, _fivetran_synced timestamptz, closed_at timestamptz, confidential boolean,
    created_at timestamptz, name text, notes text, requisition_id text, status text, updated_at timestamptz);
CREATE TABLE {{schema}}.job_stage (
    id bigint PRIMARY KEY, _fivetran_deleted boolean, _fivetran_synced timestamptz, created_at timestamptz, job_id bigint, name text,
    updated_at timestamptz);
CREATE TABLE {{schema}}.scheduled_interview (
    id bigint PRIMARY KEY, _fivetran_deleted boolean, _fivetran_synced timestamptz, application_id bigint, created_at timestamptz,
    "end" timestamptz, interview_id bigint, location text, organizer_id bigint, start timestamptz, status text, updated_at timestamptz,
    ends timestamptz);
