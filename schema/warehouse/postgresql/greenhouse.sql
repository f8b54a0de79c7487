-- Greenhouse as Fivetran's connector leaves it: application, application_history, candidate, email_address, job_stage,
-- scheduled_interview. One row per application.
--
--   company            the account's employer. candidate.company is where the candidate works now: not that.
--   stage              what became of it when it is decided, otherwise the name of the current stage.
--   last_stage_change  the last row of the history, or the rejection; for one that never moved, the application.
--   interview_date     the next interview that is planned, or else one of the last 14 days. A cancelled interview is
--                      deleted in Greenhouse; one that is complete is past, whatever its date.
--   synced_at          of whatever contributes, deleted rows too, so that each change of any of them moves it.
--   deleted            _fivetran_deleted, Greenhouse's own is_deleted, or the candidate's.
--
-- Greenhouse deletes a candidate who is merged into another one, whom new_candidate_id names; the application is then that one's, and
-- that of a third, if that one is merged, too.
--
-- email_address has _fivetran_deleted only in newer connections, so it is read by name from the row's JSON.
SELECT 'greenhouse'::text AS system,
       a.id::text AS application_id,
       COALESCE(e.addresses, '{}') AS addresses,
       {{company}}::text AS company,
       CASE a.status
           WHEN 'rejected' THEN 'Rejected'
           WHEN 'hired' THEN 'Hired'
           ELSE COALESCE(s.name::text, CASE WHEN a.prospect THEN 'Prospect' END)
       END AS stage,
       COALESCE(GREATEST(h.changed_at, a.rejected_at::timestamptz), a.applied_at::timestamptz) AS last_stage_change,
       COALESCE(i.next, i.last) AS interview_date,
       GREATEST(a._fivetran_synced::timestamptz, c._fivetran_synced::timestamptz, c1._fivetran_synced::timestamptz,
                c2._fivetran_synced::timestamptz, s._fivetran_synced::timestamptz, e.synced_at, h.synced_at, i.synced_at) AS synced_at,
       COALESCE(a._fivetran_deleted, false) OR COALESCE(a.is_deleted, false) OR COALESCE(CASE
           WHEN c.new_candidate_id IS NULL THEN c._fivetran_deleted
           WHEN c1.new_candidate_id IS NULL THEN c1._fivetran_deleted
           ELSE c2._fivetran_deleted
       END, false) AS deleted
FROM {{schema}}.application a
LEFT JOIN {{schema}}.candidate c ON c.id = a.candidate_id
LEFT JOIN {{schema}}.candidate c1 ON c1.id = c.new_candidate_id
LEFT JOIN {{schema}}.candidate c2 ON c2.id = c1.new_candidate_id
LEFT JOIN {{schema}}.job_stage s ON s.id = a.current_stage_id
LEFT JOIN (
    SELECT candidate_id,
           array_agg(DISTINCT lower(trim(value))) FILTER (
               WHERE value LIKE '%@%' AND NOT COALESCE((to_jsonb(m) ->> '_fivetran_deleted')::boolean, false)) AS addresses,
           max(_fivetran_synced::timestamptz) AS synced_at
    FROM {{schema}}.email_address m
    GROUP BY candidate_id) e ON e.candidate_id = COALESCE(c1.new_candidate_id, c.new_candidate_id, a.candidate_id)
LEFT JOIN (
    SELECT application_id, max(updated_at::timestamptz) AS changed_at, max(_fivetran_synced::timestamptz) AS synced_at
    FROM {{schema}}.application_history
    GROUP BY application_id) h ON h.application_id = a.id
LEFT JOIN (
    SELECT application_id,
           min(start::timestamptz) FILTER (WHERE start::timestamptz >= now() AND status IS DISTINCT FROM 'complete'
               AND NOT COALESCE(_fivetran_deleted, false)) AS next,
           max(start::timestamptz) FILTER (WHERE start::timestamptz BETWEEN now() - interval '14 days' AND now()
               AND NOT COALESCE(_fivetran_deleted, false)) AS last,
           max(_fivetran_synced::timestamptz) AS synced_at
    FROM {{schema}}.scheduled_interview
    GROUP BY application_id) i ON i.application_id = a.id
