-- +goose Up
-- A revert takes back what is still there of a decision, and so not the features that the person forgot since. Clocks
-- cannot tell which came first. So each forget, of one feature or of all, is the person's next number; an action keeps
-- the number that stood when it was decided, and a forgotten feature that of its last forget. All of them are written
-- under the person's lock, and the table has a row per feature, not per forget.
ALTER TABLE users ADD COLUMN forgets integer NOT NULL DEFAULT 0;
ALTER TABLE actions ADD COLUMN forgets integer NOT NULL DEFAULT 0;
CREATE TABLE forgotten_features (
    user_id text    NOT NULL REFERENCES users ON DELETE CASCADE,
    feature text    NOT NULL, -- empty: all features, a reset
    forget  integer NOT NULL,
    PRIMARY KEY (user_id, feature)
);

-- What a person did by hand, once for each mail and action, however often it is told: action.performed is emitted with
-- the row and never again. id is the event's action_id and ce_id, policies the ones that missed the mail.
CREATE TABLE performed_actions (
    user_id      text        NOT NULL REFERENCES users ON DELETE CASCADE,
    email_id     text        NOT NULL,
    action       text        NOT NULL,
    id           uuid        NOT NULL,
    policies     bigint[]    NOT NULL,
    performed_at timestamptz NOT NULL,
    PRIMARY KEY (user_id, email_id, action)
);
-- With actions_pending and actions_decided it tells whether a policy ever proposed anything for a mail; no decision
-- touches it.
CREATE INDEX actions_expired ON actions (user_id, email_id, policy_id) WHERE status = 'expired';

-- +goose Down
DROP INDEX actions_expired;
DROP TABLE performed_actions, forgotten_features;
ALTER TABLE actions DROP COLUMN forgets;
ALTER TABLE users DROP COLUMN forgets;
