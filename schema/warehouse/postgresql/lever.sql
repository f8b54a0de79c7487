-- Lever as Fivetran's connector leaves it since July 2020: opportunity, contact_email, stage, opportunity_stage_history,
-- interview, offer. One row per opportunity, which is a person's way through the stages for one posting.
--
--   company            the account's employer. application.company is where the candidate works now: not that.
--   stage              Hired or Archived when it is closed (with and without a signed offer), otherwise the stage's name.
--   last_stage_change  the last advance, row of the history or archiving; for one that never moved, its creation.
--   interview_date     the next interview that is not cancelled, or else one of the last 14 days.
--   deleted            the connector does not learn of deleted opportunities; an anonymized one counts as deleted.
SELECT 'lever'::text AS system,
       o.id::text AS application_id,
       COALESCE(e.addresses, '{}') AS addresses,
       {{company}}::text AS company,
       CASE
           WHEN o.archived_at IS NOT NULL AND f.signed THEN 'Hired'
           WHEN o.archived_at IS NOT NULL THEN 'Archived'
           ELSE s.text::text
       END AS stage,
       COALESCE(GREATEST(o.last_advanced_at::timestamptz, h.changed_at, o.archived_at::timestamptz), o.created_at::timestamptz) AS last_stage_change,
       COALESCE(i.next, i.last) AS interview_date,
       GREATEST(o._fivetran_synced::timestamptz, s._fivetran_synced::timestamptz, e.synced_at, h.synced_at, i.synced_at, f.synced_at) AS synced_at,
       COALESCE(o.is_anonymized, false) AS deleted
FROM {{schema}}.opportunity o
LEFT JOIN {{schema}}.stage s ON s.id = o.stage_id
LEFT JOIN (
    SELECT contact_id, array_agg(DISTINCT lower(trim(email))) FILTER (WHERE email LIKE '%@%') AS addresses,
           max(_fivetran_synced::timestamptz) AS synced_at
    FROM {{schema}}.contact_email
    GROUP BY contact_id) e ON e.contact_id = o.contact
LEFT JOIN (
    SELECT opportunity_id, max(updated_at::timestamptz) AS changed_at, max(_fivetran_synced::timestamptz) AS synced_at
    FROM {{schema}}.opportunity_stage_history
    GROUP BY opportunity_id) h ON h.opportunity_id = o.id
LEFT JOIN (
    SELECT opportunity_id,
           min(date::timestamptz) FILTER (WHERE date::timestamptz >= now() AND canceled_at IS NULL) AS next,
           max(date::timestamptz) FILTER (WHERE date::timestamptz BETWEEN now() - interval '14 days' AND now() AND canceled_at IS NULL) AS last,
           max(_fivetran_synced::timestamptz) AS synced_at
    FROM {{schema}}.interview
    GROUP BY opportunity_id) i ON i.opportunity_id = o.id
LEFT JOIN (
    SELECT opportunity_id, bool_or(status = 'signed') AS signed, max(_fivetran_synced::timestamptz) AS synced_at
    FROM {{schema}}.offer
    GROUP BY opportunity_id) f ON f.opportunity_id = o.id
