-- The core: people and desks, tickets and their events, where tickets show, and
-- what is still to be sent. One file serves both databases; where they differ,
-- the template says so. Times are microseconds since 1970 UTC, ids are text.

-- meta holds single facts about the installation itself.
CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
);

CREATE TABLE people (
    id      TEXT PRIMARY KEY,
    name    TEXT NOT NULL,
    email   TEXT NOT NULL DEFAULT '',
    locale  TEXT NOT NULL DEFAULT '',
    zone    TEXT NOT NULL DEFAULT '',
    created BIGINT NOT NULL,
    erased  BIGINT NOT NULL DEFAULT 0,
    merged  TEXT NOT NULL DEFAULT '' -- the person that this one turned out to be
);
CREATE INDEX people_email ON people (email) WHERE email <> '';
CREATE INDEX people_merged ON people (merged) WHERE merged <> '';

-- accounts are a person's names on the platforms; ref is platform/install/id.
CREATE TABLE accounts (
    ref    TEXT PRIMARY KEY,
    person TEXT NOT NULL REFERENCES people (id),
    name   TEXT NOT NULL DEFAULT '',
    guest  BOOLEAN NOT NULL DEFAULT FALSE, -- an outsider there: may ask, may not work
    seen   BIGINT NOT NULL DEFAULT 0, -- when it last did something, to the hour
    asked  BIGINT NOT NULL DEFAULT 0  -- when the platform was last asked about it
);
CREATE INDEX accounts_person ON accounts (person);

CREATE TABLE desks (
    key  TEXT PRIMARY KEY,
    doc  TEXT NOT NULL,
    rank INTEGER NOT NULL DEFAULT 0
);

-- roles say who works where. source tells who said so, so that leaving a group
-- takes away only what being in that group gave: 'config', 'chat' or a lane.
CREATE TABLE roles (
    person TEXT NOT NULL REFERENCES people (id),
    desk   TEXT NOT NULL,
    role   TEXT NOT NULL,
    source TEXT NOT NULL,
    PRIMARY KEY (person, desk, role, source)
);
CREATE INDEX roles_source ON roles (source);

-- conversations are the groups that a desk uses, and how much is said in them.
CREATE TABLE conversations (
    lane   TEXT PRIMARY KEY,
    desk   TEXT NOT NULL DEFAULT '',
    use    TEXT NOT NULL DEFAULT '', -- intake or triage
    name   TEXT NOT NULL DEFAULT '',
    level  TEXT NOT NULL DEFAULT 'standard', -- quiet, standard, detailed
    locale TEXT NOT NULL DEFAULT '',
    source TEXT NOT NULL DEFAULT 'chat',
    gone   BOOLEAN NOT NULL DEFAULT FALSE -- the bot is not in it any more
);
CREATE INDEX conversations_desk ON conversations (desk, use);

-- tickets: doc is the whole state; the columns are what lists and guards need.
-- number is made by the database, so that two creations never wait for each other.
CREATE TABLE tickets (
{{if .SQLite}}    number    INTEGER PRIMARY KEY AUTOINCREMENT,
{{else}}    number    BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
{{end}}    id        TEXT NOT NULL UNIQUE,
    desk      TEXT NOT NULL,
    status    TEXT NOT NULL,
    priority  INTEGER NOT NULL,
    owner     TEXT NOT NULL DEFAULT '',
    requester TEXT NOT NULL,
    title     TEXT NOT NULL,
    created   BIGINT NOT NULL,
    changed   BIGINT NOT NULL,
    due       BIGINT NOT NULL DEFAULT 0, -- next target not met; 0 = none, or the clocks stand still
    version   BIGINT NOT NULL,
    head      TEXT NOT NULL,
    doc       TEXT NOT NULL
);
CREATE INDEX tickets_queue ON tickets (desk, priority, number) WHERE status = 'new';
CREATE INDEX tickets_owner ON tickets (owner, priority, number) WHERE status IN ('new', 'active', 'waiting', 'held', 'solved');
CREATE INDEX tickets_requester ON tickets (requester, number);
CREATE INDEX tickets_due ON tickets (desk, due) WHERE due > 0;

-- events are only ever added. words and salt are emptied when a person is erased.
CREATE TABLE events (
    ticket_id TEXT NOT NULL,
    seq       BIGINT NOT NULL,
    kind      TEXT NOT NULL,
    actor     TEXT NOT NULL DEFAULT '',
    via       TEXT NOT NULL DEFAULT '',
    at        BIGINT NOT NULL,
    once      TEXT NOT NULL DEFAULT '',
    facts     TEXT NOT NULL,
    words     TEXT NOT NULL DEFAULT '',
    salt      TEXT NOT NULL DEFAULT '',
    digest    TEXT NOT NULL DEFAULT '',
    prev      TEXT NOT NULL DEFAULT '',
    hash      TEXT NOT NULL,
    PRIMARY KEY (ticket_id, seq)
);
CREATE INDEX events_at ON events (at);

-- anchors cover the heads of all tickets that changed in an hour.
CREATE TABLE anchors (
    hour    BIGINT PRIMARY KEY, -- its beginning
    tickets BIGINT NOT NULL,
    digest  TEXT NOT NULL, -- over (id, version, hash) of the newest event of each, in order of id
    prev    TEXT NOT NULL,
    hash    TEXT NOT NULL
);

-- once remembers what each inbound event came to, so that doing it twice does it once.
CREATE TABLE once (
    key     TEXT PRIMARY KEY,
    at      BIGINT NOT NULL,
    ticket  TEXT NOT NULL DEFAULT '',
    outcome TEXT NOT NULL DEFAULT ''   -- JSON of the refusal; '' = done
);
CREATE INDEX once_at ON once (at);

-- places are where a ticket shows. shown is the version that can be seen there.
CREATE TABLE places (
    id        TEXT PRIMARY KEY,
    ticket_id TEXT NOT NULL,
    lane      TEXT NOT NULL,
    thread    TEXT NOT NULL DEFAULT '', -- root of the thread it is posted into; '' = top level
    audience  TEXT NOT NULL,            -- team, requester or alert
    ref       TEXT NOT NULL DEFAULT '', -- the platform's name for the message; '' = not posted yet
    root      TEXT NOT NULL DEFAULT '', -- what replies to it carry as their thread
    shown     BIGINT NOT NULL DEFAULT 0,
    hash      TEXT NOT NULL DEFAULT '',
    gone      BOOLEAN NOT NULL DEFAULT FALSE, -- cannot be shown there any more
    created   BIGINT NOT NULL
);
CREATE UNIQUE INDEX places_one ON places (ticket_id, lane, thread, audience);
CREATE INDEX places_root ON places (lane, root);
CREATE INDEX places_ref ON places (lane, ref);
CREATE INDEX places_thread ON places (lane, thread) WHERE thread <> '';

-- messages tie what was said in chat to the event it became, both ways.
CREATE TABLE messages (
    lane      TEXT NOT NULL,
    ref       TEXT NOT NULL,
    ticket_id TEXT NOT NULL,
    seq       BIGINT NOT NULL,
    sent      BOOLEAN NOT NULL, -- by us
    at        BIGINT NOT NULL,
    PRIMARY KEY (lane, ref, ticket_id)
);
CREATE INDEX messages_event ON messages (ticket_id, seq);

-- outbox: what is still to be shown or said. A card is never in here, only that
-- its place needs a new one.
CREATE TABLE outbox (
    id        TEXT PRIMARY KEY,
    lane      TEXT NOT NULL,
    kind      TEXT NOT NULL, -- card, relay, notice, line
    ticket_id TEXT NOT NULL,
    place_id  TEXT NOT NULL DEFAULT '',
    seq       BIGINT NOT NULL DEFAULT 0, -- the event that it tells of
    person    TEXT NOT NULL DEFAULT '',  -- whom a notice is for
    state     TEXT NOT NULL DEFAULT 'pending', -- pending, sending, done, dead, cancelled
    due       BIGINT NOT NULL,
    created   BIGINT NOT NULL,
    attempts  INTEGER NOT NULL DEFAULT 0,
    error     TEXT NOT NULL DEFAULT '',
    ref       TEXT NOT NULL DEFAULT '',
    done      BIGINT NOT NULL DEFAULT 0
);
-- One pending refresh a place: more clicks add nothing to it.
CREATE UNIQUE INDEX outbox_card ON outbox (place_id) WHERE kind = 'card' AND state = 'pending';
CREATE INDEX outbox_lane ON outbox (lane, due, id) WHERE state IN ('pending', 'sending');
CREATE INDEX outbox_event ON outbox (ticket_id, seq);
CREATE INDEX outbox_dead ON outbox (id) WHERE state = 'dead';
CREATE INDEX outbox_done ON outbox (done) WHERE done > 0;

-- lanes keep order inside a destination: whoever holds the lease sends.
CREATE TABLE lanes (
    lane    TEXT PRIMARY KEY,
    holder  TEXT NOT NULL DEFAULT '',
    until   BIGINT NOT NULL DEFAULT 0, -- end of the lease
    blocked BIGINT NOT NULL DEFAULT 0  -- the platform said: not before
);

-- bursts: what one author says at the top level of a group within two minutes
-- belongs together. The row is the lock for that.
CREATE TABLE bursts (
    key    TEXT PRIMARY KEY, -- lane and person
    ticket TEXT NOT NULL DEFAULT '',
    until  BIGINT NOT NULL
);

-- codes link accounts and make the first admin.
CREATE TABLE codes (
    hash  TEXT PRIMARY KEY, -- SHA-256 of the code
    use   TEXT NOT NULL,    -- link or admin
    ref   TEXT NOT NULL DEFAULT '', -- account that asked
    act   TEXT NOT NULL DEFAULT '', -- what it wanted to do, to be done after linking
    until BIGINT NOT NULL
);

-- blobs are files' contents, once each.
CREATE TABLE blobs (
    hash    TEXT PRIMARY KEY, -- SHA-256, hex
    size    BIGINT NOT NULL,
    content {{if .SQLite}}BLOB{{else}}BYTEA{{end}} NOT NULL,
    at      BIGINT NOT NULL
);

-- search holds the tokens of titles and texts; its row id is the ticket's number.
{{if .SQLite}}
CREATE VIRTUAL TABLE search USING fts5 (tokens, content='', contentless_delete=1, tokenize='unicode61 remove_diacritics 0');
{{else}}
CREATE TABLE search (
    number BIGINT PRIMARY KEY,
    tokens TSVECTOR NOT NULL
);
CREATE INDEX search_tokens ON search USING gin (tokens);
{{end}}
