-- The chat server behind the playground: what people and the bot wrote, and the
-- events that the bot has not taken yet. Times are microseconds, UTC.

-- n rises with every change that a page can see; a row's n or rev tells pages
-- what is new to them. Taking it locks the row, so numbers commit in order.
CREATE TABLE playground_counters (
    install TEXT PRIMARY KEY,
    n BIGINT NOT NULL
);

CREATE TABLE playground_people (
    install TEXT NOT NULL,
    id TEXT NOT NULL,
    place BIGINT NOT NULL,
    name TEXT NOT NULL,
    name_en TEXT NOT NULL,
    role TEXT NOT NULL,
    role_en TEXT NOT NULL,
    home TEXT NOT NULL DEFAULT '', -- the card of the person's own page
    home_rev BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (install, id)
);

CREATE TABLE playground_convs (
    install TEXT NOT NULL,
    id TEXT NOT NULL,
    place BIGINT NOT NULL,
    name TEXT NOT NULL,
    name_en TEXT NOT NULL,
    about TEXT NOT NULL,
    about_en TEXT NOT NULL,
    private BOOLEAN NOT NULL, -- with the bot
    PRIMARY KEY (install, id)
);

CREATE TABLE playground_members (
    install TEXT NOT NULL,
    conv TEXT NOT NULL,
    person TEXT NOT NULL,
    read_upto BIGINT NOT NULL DEFAULT 0, -- the last message this person has seen
    PRIMARY KEY (install, conv, person)
);

CREATE TABLE playground_messages (
    install TEXT NOT NULL,
    id BIGINT NOT NULL,
    rev BIGINT NOT NULL,
    conv TEXT NOT NULL,
    thread BIGINT NOT NULL, -- root message; 0 is the top level
    author TEXT NOT NULL,   -- empty is the bot
    only_for TEXT NOT NULL, -- the one person who sees it; empty is everybody
    body TEXT NOT NULL,
    card TEXT NOT NULL,     -- JSON; empty is none
    once TEXT,
    at BIGINT NOT NULL,
    edited BOOLEAN NOT NULL,
    deleted BOOLEAN NOT NULL,
    PRIMARY KEY (install, id),
    UNIQUE (install, conv, once)
);
CREATE INDEX playground_messages_rev ON playground_messages (install, rev);
CREATE INDEX playground_messages_place ON playground_messages (install, conv, thread, id);

CREATE TABLE playground_reactions (
    install TEXT NOT NULL,
    message BIGINT NOT NULL,
    emoji TEXT NOT NULL,
    person TEXT NOT NULL,
    PRIMARY KEY (install, message, emoji, person)
);

CREATE TABLE playground_files (
    install TEXT NOT NULL,
    id TEXT NOT NULL,
    conv TEXT NOT NULL,
    person TEXT NOT NULL,    -- who brought it; empty is the bot
    message BIGINT NOT NULL, -- 0 until it is sent
    place BIGINT NOT NULL,
    name TEXT NOT NULL,
    type TEXT NOT NULL,
    size BIGINT NOT NULL,
    at BIGINT NOT NULL,
    content {{if .SQLite}}BLOB{{else}}BYTEA{{end}} NOT NULL,
    PRIMARY KEY (install, id)
);
CREATE INDEX playground_files_message ON playground_files (install, message);

-- What the bot has to be told. A row goes when the bot has taken it.
CREATE TABLE playground_events (
    install TEXT NOT NULL,
    seq BIGINT NOT NULL,
    id TEXT NOT NULL,
    lane TEXT NOT NULL, -- the conversation, within which order is kept
    frame TEXT NOT NULL,
    created BIGINT NOT NULL, -- real time
    parked BOOLEAN NOT NULL, -- given up
    PRIMARY KEY (install, seq)
);
CREATE INDEX playground_events_lane ON playground_events (install, parked, lane, seq);
