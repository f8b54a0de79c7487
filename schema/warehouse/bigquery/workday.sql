-- Workday Recruiting, from a custom report that Fivetran's Workday RaaS connector syncs; postgresql/workday.sql tells what
-- is assumed of it.
SELECT 'workday' AS system,
       CAST(r.job_application_id AS STRING) AS application_id,
       ARRAY(SELECT DISTINCT LOWER(TRIM(address)) FROM UNNEST(SPLIT(REPLACE(IFNULL(CAST(r.candidate_email AS STRING), ''), ',', ';'), ';')) AS address
             WHERE address LIKE '%@%') AS addresses,
       CAST({{company}} AS STRING) AS company,
       NULLIF(TRIM(CAST(r.candidate_stage AS STRING)), '') AS stage,
       SAFE_CAST(CAST(r.stage_date AS STRING) AS TIMESTAMP) AS last_stage_change,
       IF(SAFE_CAST(CAST(r.interview_date AS STRING) AS TIMESTAMP) >= TIMESTAMP_SUB(CURRENT_TIMESTAMP(), INTERVAL 14 DAY),
           SAFE_CAST(CAST(r.interview_date AS STRING) AS TIMESTAMP), NULL) AS interview_date,
       CAST(r._fivetran_synced AS TIMESTAMP) AS synced_at,
       IFNULL(JSON_VALUE(TO_JSON_STRING(r), '$._fivetran_deleted'), 'false') = 'true' AS deleted
FROM {{schema}}.job_applications AS r
