-- shelf holds what installs must still know after a restart: one-shot codes,
-- cursors, counters, and what is asked in a private dialogue. Under a name lies a
-- stack of values.
CREATE TABLE shelf (
    owner TEXT NOT NULL,   -- install, or part of the program
    name  TEXT NOT NULL,
    n     BIGINT NOT NULL, -- the highest lies on top
    value TEXT NOT NULL,
    until BIGINT NOT NULL, -- end of its use
    PRIMARY KEY (owner, name, n)
);
CREATE INDEX shelf_until ON shelf (until);

-- posted is when the message that a place shows was posted: one that cannot be
-- changed is followed by another at most once a day.
ALTER TABLE places ADD COLUMN posted BIGINT NOT NULL DEFAULT 0;
-- final: what stands there says how the ticket ended
ALTER TABLE places ADD COLUMN final BOOLEAN NOT NULL DEFAULT FALSE;

-- Rows in state waiting are for somebody who must write first.
CREATE INDEX outbox_waiting ON outbox (lane) WHERE state = 'waiting';

-- people_events is what was done to people: two found to be one, and parted again.
CREATE TABLE people_events (
    id     TEXT PRIMARY KEY,
    at     BIGINT NOT NULL,
    kind   TEXT NOT NULL,  -- merged or parted
    actor  TEXT NOT NULL,  -- account that did it; '' = the configuration
    person TEXT NOT NULL,  -- who stays
    other  TEXT NOT NULL,  -- who became part of him, or himself again
    facts  TEXT NOT NULL,  -- JSON: accounts and roles that moved, and who had been merged before
    undone BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX people_events_person ON people_events (person, at);

-- phone numbers tie the accounts of one person together, where a platform's
-- directory vouches for them.
ALTER TABLE people ADD COLUMN phone TEXT NOT NULL DEFAULT '';
CREATE INDEX people_phone ON people (phone) WHERE phone <> '';
