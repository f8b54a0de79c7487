-- +goose Up
-- A forget is remembered by the id of its event. A log that is read once more, as one that was mirrored to another
-- cluster, tells of it again, and counted twice it would seem to come after decisions that it came before. There is a row
-- for each forget; those of a feature that is forgotten again have no effect but this.
ALTER TABLE forgotten_features ADD COLUMN event_id text NOT NULL DEFAULT gen_random_uuid()::text;
ALTER TABLE forgotten_features ALTER COLUMN event_id DROP DEFAULT;
ALTER TABLE forgotten_features DROP CONSTRAINT forgotten_features_pkey;
ALTER TABLE forgotten_features ADD PRIMARY KEY (user_id, event_id);
CREATE INDEX forgotten_features_order ON forgotten_features (user_id, forget);

-- Erasing a person looks for what there is of them in every table, and others wait for it. Emptied rows of the outbox
-- and of dead letters are nobody's. The key of a dead letter may be too long for any index but one of hashes.
CREATE INDEX actions_user ON actions (user_id);
CREATE INDEX policies_user ON policies (user_id);
CREATE INDEX outbox_user ON outbox (user_id) WHERE user_id <> '';
CREATE INDEX dead_letters_user ON dead_letters (user_id) WHERE user_id <> '';
CREATE INDEX dead_letters_key ON dead_letters USING hash (key);

-- What is kept for a while only is looked for by its age.
CREATE INDEX idempotency_keys_age ON idempotency_keys (created_at);
CREATE INDEX actions_age ON actions (created_at) WHERE status = 'expired';
CREATE INDEX dead_letters_closed ON dead_letters (updated_at) WHERE state IN ('redriven', 'discarded') AND value IS NOT NULL;

-- +goose Down
DROP INDEX dead_letters_closed, actions_age, idempotency_keys_age;
DROP INDEX dead_letters_key, dead_letters_user, outbox_user, policies_user, actions_user;
DROP INDEX forgotten_features_order;
DELETE FROM forgotten_features f USING forgotten_features later
WHERE later.user_id = f.user_id AND later.feature = f.feature AND later.forget > f.forget;
ALTER TABLE forgotten_features DROP COLUMN event_id;
ALTER TABLE forgotten_features ADD PRIMARY KEY (user_id, feature);
