-- Greenhouse as Fivetran's connector leaves it; postgresql/greenhouse.sql explains the columns.
SELECT 'greenhouse' AS system,
       CAST(a.id AS STRING) AS application_id,
       IFNULL(e.addresses, []) AS addresses,
       CAST({{company}} AS STRING) AS company,
       CASE a.status
           WHEN 'rejected' THEN 'Rejected'
           WHEN 'hired' THEN 'Hired'
           ELSE COALESCE(s.name, IF(a.prospect, 'Prospect', NULL))
       END AS stage,
       COALESCE((SELECT MAX(t) FROM UNNEST([h.changed_at, CAST(a.rejected_at AS TIMESTAMP)]) AS t), CAST(a.applied_at AS TIMESTAMP)) AS last_stage_change,
       COALESCE(i.next_at, i.last_at) AS interview_date,
       (SELECT MAX(t) FROM UNNEST([CAST(a._fivetran_synced AS TIMESTAMP), CAST(c._fivetran_synced AS TIMESTAMP),
            CAST(c1._fivetran_synced AS TIMESTAMP), CAST(c2._fivetran_synced AS TIMESTAMP), CAST(s._fivetran_synced AS TIMESTAMP), e.synced_at, h.synced_at, i.synced_at]) AS t) AS synced_at,
       IFNULL(a._fivetran_deleted, FALSE) OR IFNULL(a.is_deleted, FALSE) OR IFNULL(CASE
           WHEN c.new_candidate_id IS NULL THEN c._fivetran_deleted
           WHEN c1.new_candidate_id IS NULL THEN c1._fivetran_deleted
           ELSE c2._fivetran_deleted
       END, FALSE) AS deleted
FROM {{schema}}.application AS a
LEFT JOIN {{schema}}.candidate AS c ON c.id = a.candidate_id
LEFT JOIN {{schema}}.candidate AS c1 ON c1.id = c.new_candidate_id
LEFT JOIN {{schema}}.candidate AS c2 ON c2.id = c1.new_candidate_id
LEFT JOIN {{schema}}.job_stage AS s ON s.id = a.current_stage_id
LEFT JOIN (
    SELECT candidate_id,
           ARRAY_AGG(DISTINCT IF(value LIKE '%@%' AND IFNULL(JSON_VALUE(TO_JSON_STRING(m), '$._fivetran_deleted'), 'false') <> 'true',
               LOWER(TRIM(value)), NULL) IGNORE NULLS) AS addresses,
           MAX(CAST(_fivetran_synced AS TIMESTAMP)) AS synced_at
    FROM {{schema}}.email_address AS m
    GROUP BY candidate_id) AS e ON e.candidate_id = COALESCE(c1.new_candidate_id, c.new_candidate_id, a.candidate_id)
LEFT JOIN (
    SELECT application_id, MAX(CAST(updated_at AS TIMESTAMP)) AS changed_at, MAX(CAST(_fivetran_synced AS TIMESTAMP)) AS synced_at
    FROM {{schema}}.application_history
    GROUP BY application_id) AS h ON h.application_id = a.id
LEFT JOIN (
    SELECT application_id,
           MIN(IF(CAST(start AS TIMESTAMP) >= CURRENT_TIMESTAMP() AND IFNULL(status, '') <> 'complete'
               AND NOT IFNULL(_fivetran_deleted, FALSE), CAST(start AS TIMESTAMP), NULL)) AS next_at,
           MAX(IF(CAST(start AS TIMESTAMP) BETWEEN TIMESTAMP_SUB(CURRENT_TIMESTAMP(), INTERVAL 14 DAY) AND CURRENT_TIMESTAMP()
               AND NOT IFNULL(_fivetran_deleted, FALSE), CAST(start AS TIMESTAMP), NULL)) AS last_at,
           MAX(CAST(_fivetran_synced AS TIMESTAMP)) AS synced_at
    FROM {{schema}}.scheduled_interview
    GROUP BY application_id) AS i ON i.application_id = a.id
