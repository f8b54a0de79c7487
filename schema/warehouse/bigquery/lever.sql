-- Lever as Fivetran's connector leaves it since July 2020; postgresql/lever.sql explains the columns.
SELECT 'lever' AS system,
       CAST(o.id AS STRING) AS application_id,
       IFNULL(e.addresses, []) AS addresses,
       CAST({{company}} AS STRING) AS company,
       CASE
           WHEN o.archived_at IS NOT NULL AND f.signed THEN 'Hired'
           WHEN o.archived_at IS NOT NULL THEN 'Archived'
           ELSE s.text
       END AS stage,
       COALESCE((SELECT MAX(t) FROM UNNEST([CAST(o.last_advanced_at AS TIMESTAMP), h.changed_at, CAST(o.archived_at AS TIMESTAMP)]) AS t),
           CAST(o.created_at AS TIMESTAMP)) AS last_stage_change,
       COALESCE(i.next_at, i.last_at) AS interview_date,
       (SELECT MAX(t) FROM UNNEST([CAST(o._fivetran_synced AS TIMESTAMP), CAST(s._fivetran_synced AS TIMESTAMP),
            e.synced_at, h.synced_at, i.synced_at, f.synced_at]) AS t) AS synced_at,
       IFNULL(o.is_anonymized, FALSE) AS deleted
FROM {{schema}}.opportunity AS o
LEFT JOIN {{schema}}.stage AS s ON s.id = o.stage_id
LEFT JOIN (
    SELECT contact_id, ARRAY_AGG(DISTINCT IF(email LIKE '%@%', LOWER(TRIM(email)), NULL) IGNORE NULLS) AS addresses,
           MAX(CAST(_fivetran_synced AS TIMESTAMP)) AS synced_at
    FROM {{schema}}.contact_email
    GROUP BY contact_id) AS e ON e.contact_id = o.contact
LEFT JOIN (
    SELECT opportunity_id, MAX(CAST(updated_at AS TIMESTAMP)) AS changed_at, MAX(CAST(_fivetran_synced AS TIMESTAMP)) AS synced_at
    FROM {{schema}}.opportunity_stage_history
    GROUP BY opportunity_id) AS h ON h.opportunity_id = o.id
LEFT JOIN (
    SELECT opportunity_id,
           MIN(IF(CAST(date AS TIMESTAMP) >= CURRENT_TIMESTAMP() AND canceled_at IS NULL, CAST(date AS TIMESTAMP), NULL)) AS next_at,
           MAX(IF(CAST(date AS TIMESTAMP) BETWEEN TIMESTAMP_SUB(CURRENT_TIMESTAMP(), INTERVAL 14 DAY) AND CURRENT_TIMESTAMP()
               AND canceled_at IS NULL, CAST(date AS TIMESTAMP), NULL)) AS last_at,
           MAX(CAST(_fivetran_synced AS TIMESTAMP)) AS synced_at
    FROM {{schema}}.interview
    GROUP BY opportunity_id) AS i ON i.opportunity_id = o.id
LEFT JOIN (
    SELECT opportunity_id, LOGICAL_OR(status = 'signed') AS signed, MAX(CAST(_fivetran_synced AS TIMESTAMP)) AS synced_at
    FROM {{schema}}.offer
    GROUP BY opportunity_id) AS f ON f.opportunity_id = o.id
