-- +goose Up
-- What a secret allows belongs to the secret and not to its person: a token that may do more for an hour must not give that
-- to the tokens that the person has already. Existing secrets keep what their person could do; nobody can tell any more for
-- which of them it was meant. "applylens token list" shows it, "applylens token demote" takes it away.
ALTER TABLE tokens ADD COLUMN roles text[] NOT NULL DEFAULT '{owner}'
    CONSTRAINT tokens_roles CHECK (cardinality(roles) > 0 AND roles <@ '{owner,operator}'::text[]);
UPDATE tokens t SET roles = u.roles FROM users u WHERE u.id = t.user_id;
ALTER TABLE users DROP COLUMN roles;

-- +goose Down
ALTER TABLE users ADD COLUMN roles text[] NOT NULL DEFAULT '{owner}';
UPDATE users u SET roles = '{operator,owner}'
WHERE EXISTS (SELECT FROM tokens t WHERE t.user_id = u.id AND 'operator' = ANY (t.roles));
ALTER TABLE tokens DROP COLUMN roles;
