-- +goose Up
-- Mail accounts that people have given us to watch. The secret is sealed with a key that the database does not have, bound to the id and
-- the person of its row.
CREATE TABLE accounts (
    id          uuid        PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id     text        NOT NULL REFERENCES users ON DELETE CASCADE,
    label       text        NOT NULL,
    address     text        NOT NULL, -- of the mailbox's owner
    host        text        NOT NULL, -- of IMAP
    port        integer     NOT NULL CONSTRAINT accounts_port CHECK (port BETWEEN 1 AND 65535),
    security    text        NOT NULL CONSTRAINT accounts_security CHECK (security IN ('tls', 'starttls')),
    login       text        NOT NULL,
    auth        text        NOT NULL CONSTRAINT accounts_auth CHECK (auth IN ('password', 'xoauth2', 'oauthbearer')),
    token_url   text        NOT NULL DEFAULT '', -- of OAuth 2, as is client_id
    client_id   text        NOT NULL DEFAULT '',
    caldav_url  text        NOT NULL DEFAULT '',
    sieve_host  text        NOT NULL DEFAULT '', -- host:port, as is the next
    smtp_host   text        NOT NULL DEFAULT '',
    secret      bytea       NOT NULL, -- sealed: the password, or the client's secret and the refresh token
    mode        text        NOT NULL DEFAULT 'watch' CONSTRAINT accounts_mode CHECK (mode IN ('watch', 'ask')),
    mode_since  timestamptz NOT NULL DEFAULT now(), -- only what is decided later is done in the mailbox
    stopped     boolean     NOT NULL DEFAULT false, -- by its owner: nothing is done, and mail is not watched
    ending      boolean     NOT NULL DEFAULT false, -- it is about to be erased: whoever holds it lets go
    state       text        NOT NULL DEFAULT 'new' CONSTRAINT accounts_state CHECK (state IN ('new', 'syncing', 'live', 'failing')),
    error       text        NOT NULL DEFAULT '', -- the last one, as its owner may read it
    mails_done  bigint      NOT NULL DEFAULT 0,  -- of the pass that is going on, or of the last one
    mails_total bigint      NOT NULL DEFAULT 0,
    seq         bigint      NOT NULL DEFAULT 0,  -- the last account_seq
    created_at  timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX accounts_mailbox ON accounts (user_id, host, login);

-- Which process watches an account, and until when. The epoch grows with each holder: a write of an earlier one is refused.
CREATE TABLE account_leases (
    account_id uuid        PRIMARY KEY REFERENCES accounts ON DELETE CASCADE,
    user_id    text        NOT NULL,
    holder     text        NOT NULL DEFAULT '', -- empty: nobody
    epoch      bigint      NOT NULL DEFAULT 0,
    until      timestamptz NOT NULL DEFAULT '-infinity',
    retry_at   timestamptz NOT NULL DEFAULT '-infinity', -- an account that failed is left alone until then
    failures   integer     NOT NULL DEFAULT 0 -- one after the other
) WITH (fillfactor = 70);
CREATE INDEX account_leases_until ON account_leases (until);

-- The folders of an account that are read, with what was known of each when it was last read to its end.
CREATE TABLE account_folders (
    id             bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account_id     uuid        NOT NULL REFERENCES accounts ON DELETE CASCADE,
    user_id        text        NOT NULL,
    name           text        NOT NULL,
    special_use    text        NOT NULL DEFAULT '', -- such as \Archive
    watched        boolean     NOT NULL,            -- others are only known by name
    uidvalidity    bigint      NOT NULL DEFAULT 0,
    uidnext        bigint      NOT NULL DEFAULT 0,
    highestmodseq  bigint      NOT NULL DEFAULT 0,  -- 0: the server counts no changes
    created_at     timestamptz NOT NULL DEFAULT now(),
    UNIQUE (account_id, name)
);

-- Which UID of a folder is which mail. A message that cannot be read has neither a Message-ID nor a hash.
CREATE TABLE account_mails (
    account_id   uuid   NOT NULL REFERENCES accounts ON DELETE CASCADE,
    folder_id    bigint NOT NULL REFERENCES account_folders ON DELETE CASCADE,
    uidvalidity  bigint NOT NULL,
    uid          bigint NOT NULL,
    user_id      text   NOT NULL,
    message_id   text   NOT NULL,
    content_hash text   NOT NULL,
    flags        text[] NOT NULL, -- sorted; system flags begin with a backslash, all others are keywords
    PRIMARY KEY (folder_id, uidvalidity, uid)
);
-- In which folders of an account a mail is.
CREATE INDEX account_mails_identity ON account_mails (account_id, content_hash, message_id);
CREATE INDEX account_mails_user ON account_mails (user_id);
CREATE INDEX account_folders_user ON account_folders (user_id);
CREATE INDEX account_leases_user ON account_leases (user_id);

-- +goose Down
DROP TABLE account_mails, account_folders, account_leases, accounts;
