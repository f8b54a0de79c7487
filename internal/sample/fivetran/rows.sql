-- Invented applications of Sam, whose mail is the sample mail, and of other people. ago('3 days') is a time before the
-- moment of loading; people without an application of Sam's get their stages, dates and names from their number.
CREATE FUNCTION pg_temp.ago(span text) RETURNS timestamptz LANGUAGE sql
    AS $$ SELECT current_setting('sample.now')::timestamptz - span::interval $$;
CREATE FUNCTION pg_temp.someone(n integer) RETURNS text LANGUAGE sql
    AS $$ SELECT (ARRAY['ada','bela','carla','dario','elif','femi','gita','hugo','ines','jonas'])[1 + n % 10] || '.'
              || (ARRAY['abel','blum','conti','dahl','engel','faber','grove','holm'])[1 + n % 8] || n || '@mail.example' $$;

-- Acme: an offer for Sam, and an application of last year that was rejected.
INSERT INTO greenhouse_acme.job_stage (id, _fivetran_deleted, _fivetran_synced, job_id, name)
SELECT 5600 + n, false, pg_temp.ago('40 days'), 41, (ARRAY['Application Review','Phone Screen','Onsite','Offer'])[n] FROM generate_series(1, 4) n;
INSERT INTO greenhouse_acme.candidate (id, _fivetran_deleted, _fivetran_synced, company, first_name, last_name)
VALUES (2200, false, pg_temp.ago('3 hours'), 'Paper & Pen', 'Sam', 'Rivera');
INSERT INTO greenhouse_acme.email_address (candidate_id, index, _fivetran_synced, type, value)
VALUES (2200, 0, pg_temp.ago('40 days'), 'personal', 'Sam@Home.example'), (2200, 1, pg_temp.ago('40 days'), 'work', 'sam.rivera@paper-pen.example');
INSERT INTO greenhouse_acme.application (id, _fivetran_deleted, _fivetran_synced, applied_at, candidate_id, current_stage_id, prospect, rejected_at, status)
VALUES (25100, false, pg_temp.ago('2 days'), pg_temp.ago('38 days'), 2200, 5604, false, NULL, 'active'),
       (24100, false, pg_temp.ago('200 days'), pg_temp.ago('320 days'), 2200, 5601, false, pg_temp.ago('300 days'), 'rejected');
INSERT INTO greenhouse_acme.application_history (application_id, updated_at, _fivetran_synced, new_stage_id, new_status)
VALUES (25100, pg_temp.ago('30 days'), pg_temp.ago('30 days'), 5602, 'active'), (25100, pg_temp.ago('20 days'), pg_temp.ago('20 days'), 5603, 'active'),
       (25100, pg_temp.ago('2 days'), pg_temp.ago('2 days'), 5604, 'active');
INSERT INTO greenhouse_acme.scheduled_interview (id, _fivetran_deleted, _fivetran_synced, application_id, start, "end", status)
VALUES (1760, false, pg_temp.ago('8 days'), 25100, pg_temp.ago('9 days'), pg_temp.ago('9 days'), 'complete');

-- Bluebird Health: Sam talks to them in three days. An earlier appointment was cancelled, which Greenhouse deletes.
INSERT INTO greenhouse_bluebird.job_stage (id, _fivetran_deleted, _fivetran_synced, job_id, name)
SELECT 6600 + n, false, pg_temp.ago('40 days'), 51, (ARRAY['Application Review','Technical Interview','Final Round','Offer'])[n] FROM generate_series(1, 4) n;
INSERT INTO greenhouse_bluebird.candidate (id, _fivetran_deleted, _fivetran_synced, first_name, last_name)
VALUES (3200, false, pg_temp.ago('6 days'), 'Sam', 'Rivera');
INSERT INTO greenhouse_bluebird.email_address (candidate_id, index, _fivetran_synced, type, value)
VALUES (3200, 0, pg_temp.ago('34 days'), 'personal', 'sam@home.example');
INSERT INTO greenhouse_bluebird.application (id, _fivetran_deleted, _fivetran_synced, applied_at, candidate_id, current_stage_id, prospect, status)
VALUES (35100, false, pg_temp.ago('6 days'), pg_temp.ago('34 days'), 3200, 6602, false, 'active');
INSERT INTO greenhouse_bluebird.application_history (application_id, updated_at, _fivetran_synced, new_stage_id, new_status)
VALUES (35100, pg_temp.ago('18 days'), pg_temp.ago('18 days'), 6602, 'active');
INSERT INTO greenhouse_bluebird.scheduled_interview (id, _fivetran_deleted, _fivetran_synced, application_id, start, "end", status)
VALUES (2760, true, pg_temp.ago('6 days'), 35100, pg_temp.ago('-1 day'), pg_temp.ago('-1 day'), 'scheduled'),
       (2761, false, pg_temp.ago('6 days'), 35100, pg_temp.ago('-3 days'), pg_temp.ago('-3 days'), 'scheduled');

-- Northwind Freight: Sam was on site, and has heard nothing for fifteen days.
INSERT INTO lever_northwind.stage (id, _fivetran_deleted, _fivetran_synced, text)
VALUES ('applicant-new', false, pg_temp.ago('40 days'), 'New applicant'), ('screen', false, pg_temp.ago('40 days'), 'Phone screen'),
       ('onsite', false, pg_temp.ago('40 days'), 'Onsite'), ('offer', false, pg_temp.ago('40 days'), 'Offer');
INSERT INTO lever_northwind.contact_email (contact_id, email, _fivetran_synced) VALUES ('contact-sam', 'sam@home.example', pg_temp.ago('36 days'));
INSERT INTO lever_northwind.opportunity (id, _fivetran_synced, contact, created_at, is_anonymized, last_advanced_at, name, origin, stage_id)
VALUES ('op-northwind-sam', pg_temp.ago('15 days'), 'contact-sam', pg_temp.ago('36 days'), false, pg_temp.ago('15 days 2 hours'), 'Sam Rivera', 'applied', 'onsite');
INSERT INTO lever_northwind.opportunity_stage_history (opportunity_id, updated_at, _fivetran_synced, stage_id, to_stage_index)
VALUES ('op-northwind-sam', pg_temp.ago('28 days'), pg_temp.ago('28 days'), 'screen', 1),
       ('op-northwind-sam', pg_temp.ago('15 days 2 hours'), pg_temp.ago('15 days'), 'onsite', 2);
INSERT INTO lever_northwind.interview (id, _fivetran_synced, canceled_at, date, duration, subject, opportunity_id)
VALUES ('iv-1', pg_temp.ago('20 days'), pg_temp.ago('20 days'), pg_temp.ago('-2 days'), 45, 'On site', 'op-northwind-sam');

-- Tidewater: nothing since the application.
INSERT INTO lever_tidewater.stage (id, _fivetran_deleted, _fivetran_synced, text)
VALUES ('applicant-new', false, pg_temp.ago('40 days'), 'New applicant'), ('screen', false, pg_temp.ago('40 days'), 'Phone screen'),
       ('onsite', false, pg_temp.ago('40 days'), 'Onsite'), ('offer', false, pg_temp.ago('40 days'), 'Offer');
INSERT INTO lever_tidewater.contact_email (contact_id, email, _fivetran_synced) VALUES ('contact-sam', 'sam@home.example', pg_temp.ago('25 days'));
INSERT INTO lever_tidewater.opportunity (id, _fivetran_synced, contact, created_at, is_anonymized, name, origin, stage_id)
VALUES ('op-tidewater-sam', pg_temp.ago('25 days'), 'contact-sam', pg_temp.ago('25 days'), false, 'Sam Rivera', 'applied', 'applicant-new');

-- Quarry Labs: the report of Workday gives dates as text and joins addresses.
INSERT INTO workday_quarry.job_applications (job_application_id, _fivetran_deleted, _fivetran_synced, candidate_email, candidate_stage, stage_date, interview_date)
VALUES ('JOB_APPLICATION-6-1204', false, pg_temp.ago('16 days'), 'sam@home.example; sam.rivera@paper-pen.example', 'Interview',
        to_char(pg_temp.ago('16 days 3 hours') AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'), NULL);

-- Other people.
INSERT INTO greenhouse_acme.candidate (id, _fivetran_deleted, _fivetran_synced, first_name) SELECT 2300 + n, false, pg_temp.ago('9 days'), 'Candidate' FROM generate_series(1, 30) n;
INSERT INTO greenhouse_acme.email_address (candidate_id, index, _fivetran_synced, type, value)
SELECT 2300 + n, 0, pg_temp.ago('9 days'), 'personal', pg_temp.someone(n) FROM generate_series(1, 30) n;
INSERT INTO greenhouse_acme.application (id, _fivetran_deleted, _fivetran_synced, applied_at, candidate_id, current_stage_id, prospect, rejected_at, status)
SELECT 26000 + n, n = 30, pg_temp.ago('9 days'), pg_temp.ago(n + 12 || ' days'), 2300 + n, 5601 + n % 3, false,
       CASE WHEN n % 7 = 0 THEN pg_temp.ago('10 days') END, CASE WHEN n % 7 = 0 THEN 'rejected' ELSE 'active' END
FROM generate_series(1, 30) n;
INSERT INTO greenhouse_bluebird.candidate (id, _fivetran_deleted, _fivetran_synced, first_name) SELECT 3300 + n, false, pg_temp.ago('9 days'), 'Candidate' FROM generate_series(1, 20) n;
INSERT INTO greenhouse_bluebird.email_address (candidate_id, index, _fivetran_synced, type, value)
SELECT 3300 + n, 0, pg_temp.ago('9 days'), 'personal', pg_temp.someone(40 + n) FROM generate_series(1, 20) n;
INSERT INTO greenhouse_bluebird.application (id, _fivetran_deleted, _fivetran_synced, applied_at, candidate_id, current_stage_id, prospect, status)
SELECT 36000 + n, false, pg_temp.ago('9 days'), pg_temp.ago(n + 12 || ' days'), 3300 + n, 6601 + n % 3, n % 9 = 0, 'active' FROM generate_series(1, 20) n;
INSERT INTO lever_northwind.contact_email (contact_id, email, _fivetran_synced) SELECT 'contact-' || n, pg_temp.someone(70 + n), pg_temp.ago('9 days') FROM generate_series(1, 20) n;
INSERT INTO lever_northwind.opportunity (id, _fivetran_synced, archived_at, contact, created_at, is_anonymized, last_advanced_at, origin, stage_id)
SELECT 'op-northwind-' || n, pg_temp.ago('9 days'), CASE WHEN n % 6 = 0 THEN pg_temp.ago('9 days') END, 'contact-' || n, pg_temp.ago(n + 12 || ' days'), n = 20,
       pg_temp.ago(n + 10 || ' days'), 'applied', (ARRAY['applicant-new','screen','onsite'])[1 + n % 3]
FROM generate_series(1, 20) n;
INSERT INTO lever_northwind.offer (id, _fivetran_synced, created_at, status, opportunity_id)
VALUES ('offer-6', pg_temp.ago('9 days'), pg_temp.ago('11 days'), 'signed', 'op-northwind-6');
INSERT INTO workday_quarry.job_applications (job_application_id, _fivetran_deleted, _fivetran_synced, candidate_email, candidate_stage, stage_date)
SELECT 'JOB_APPLICATION-6-' || 2000 + n, false, pg_temp.ago('9 days'), pg_temp.someone(100 + n), (ARRAY['Review','Screen','Interview','Declined'])[1 + n % 4],
       to_char(pg_temp.ago(n + 9 || ' days'), 'YYYY-MM-DD')
FROM generate_series(1, 15) n;
