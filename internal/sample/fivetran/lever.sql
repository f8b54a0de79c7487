-- The tables that Fivetran's Lever connector leaves and that matter here, with their columns.
CREATE SCHEMA {{schema}};
CREATE TABLE {{schema}}.opportunity (
    id text PRIMARY KEY, _fivetran_synced timestamptz, archived_at timestamptz, archived_reason_id text, contact text,
    created_at timestamptz, data_protection_contact_allowed boolean, data_protection_contact_expires_at timestamptz,
    data_protection_store_allowed boolean, data_protection_store_expires_at timestamptz, headline text, is_anonymized boolean,
    last_advanced_at timestamptz, last_interaction_at timestamptz, location text, name text, origin text, owner_id text,
    snoozed_until timestamptz, stage_id text, updated_at timestamptz);
CREATE TABLE {{schema}}.application (
    id text PRIMARY KEY, _fivetran_synced timestamptz, archived_at timestamptz, archived_reason_id text, candidate_id text, comments text,
    company text, created_at timestamptz, posting_hiring_manager_id text, posting_id text, posting_owner_id text, referrer_id text,
    requisition_for_hire_id text, type text, opportunity_id text);
CREATE TABLE {{schema}}.contact_email (
    contact_id text, email text, _fivetran_synced timestamptz, PRIMARY KEY (contact_id, email));
CREATE TABLE {{schema}}.stage (
    id text PRIMARY KEY, _fivetran_deleted boolean, _fivetran_synced timestamptz, text text);
CREATE TABLE {{schema}}.opportunity_stage_history (
    opportunity_id text, updated_at timestamptz, _fivetran_synced timestamptz, stage_id text, to_stage_index integer, updater_id text,
    PRIMARY KEY (opportunity_id, updated_at));
CREATE TABLE {{schema}}.interview (
    id text PRIMARY KEY, _fivetran_synced timestamptz, canceled_at timestamptz, candidate_id text, created_at timestamptz, creator_id text,
    date timestamptz, duration integer, feedback_reminder text, gcal_event_url text, location text, note text, panel_id text,
    stage_id text, subject text, timezone text, opportunity_id text);
CREATE TABLE {{schema}}.offer (
    id text PRIMARY KEY, _fivetran_synced timestamptz, candidate_id text, created_at timestamptz, creator_id text, status text,
    opportunity_id text);
CREATE TABLE {{schema}}.posting (
    id text PRIMARY KEY, _fivetran_deleted boolean, _fivetran_synced timestamptz, categories_commitment text, categories_department text,
    categories_level text, categories_location text, categories_team text, content_closing text, content_closing_html text,
    content_description text, content_description_html text, created_at timestamptz, creator_id text, owner_id text,
    requisition_code text, state text, text text, updated_at timestamptz);
