-- Version 1. Released versions are never changed: what differs comes as the next migration.

-- lineage: the store's life; changes: see below; marked: texts were taken out of the index whose words are still in it.
CREATE TABLE meta (
    key TEXT PRIMARY KEY,
    value NOT NULL
) WITHOUT ROWID;
-- Counts commits that append nothing, to tell whether one of them was kept.
INSERT INTO meta VALUES ('changes', 0);

CREATE TABLE rooms (
    no INTEGER PRIMARY KEY,           -- < 2^23, used again when the room and its log are gone
    id BLOB UNIQUE,
    name TEXT,                        -- NULL: there are events, but no record
    permanent INTEGER NOT NULL DEFAULT 0,
    created INTEGER NOT NULL DEFAULT 0,
    head INTEGER NOT NULL DEFAULT 0,
    at INTEGER NOT NULL DEFAULT 0,
    trimmed INTEGER NOT NULL DEFAULT 0,
    indexed INTEGER NOT NULL DEFAULT 0, -- the last event that can be searched
    bytes INTEGER NOT NULL DEFAULT 0, -- of the bodies that are kept
    gone INTEGER NOT NULL DEFAULT 0   -- 1: dropped, its log is being removed; 2: the number is free
);
CREATE INDEX rooms_gone ON rooms (gone) WHERE gone > 0;

-- Who wrote, from which session, in one room.
CREATE TABLE authors (
    no INTEGER PRIMARY KEY AUTOINCREMENT,
    room INTEGER NOT NULL REFERENCES rooms (no),
    principal BLOB NOT NULL,
    kind INTEGER NOT NULL,
    alias TEXT NOT NULL,
    session BLOB NOT NULL,            -- empty: the application
    upto INTEGER NOT NULL,            -- no event behind this seq is theirs, so far
    UNIQUE (room, principal, session, kind, alias)
);

CREATE TABLE outboxes (
    no INTEGER PRIMARY KEY AUTOINCREMENT,
    room INTEGER NOT NULL REFERENCES rooms (no),
    outbox BLOB NOT NULL,
    decided INTEGER NOT NULL DEFAULT 0, -- at least; what is in `taken` is decided, too
    UNIQUE (room, outbox)
);

-- Consecutive numbers of an outbox that became consecutive events.
CREATE TABLE taken (
    outbox INTEGER NOT NULL REFERENCES outboxes (no),
    n INTEGER NOT NULL,
    count INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    PRIMARY KEY (outbox, n)
) WITHOUT ROWID;

CREATE TABLE events (
    id INTEGER PRIMARY KEY,           -- rooms.no << 40 | seq: a room's events lie together, in order
    at INTEGER NOT NULL,
    author INTEGER NOT NULL REFERENCES authors (no),
    outbox INTEGER REFERENCES outboxes (no),
    n INTEGER,
    kind INTEGER NOT NULL,
    body BLOB NOT NULL
);

-- Without the texts themselves; an entry is taken out by giving the text again.
CREATE VIRTUAL TABLE texts USING fts5 (
    body, content = '', columnsize = 0, tokenize = "unicode61 remove_diacritics 2"
);
INSERT INTO texts (texts, rank) VALUES ('secure-delete', 1);

CREATE TABLE sessions (
    id BLOB PRIMARY KEY,
    principal BLOB NOT NULL,
    kind INTEGER NOT NULL,
    alias TEXT NOT NULL,
    token BLOB NOT NULL,
    previous BLOB,
    seen INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE members (
    session BLOB NOT NULL,
    room INTEGER NOT NULL REFERENCES rooms (no),
    since INTEGER NOT NULL,
    read INTEGER NOT NULL,
    PRIMARY KEY (session, room)
) WITHOUT ROWID;
CREATE INDEX members_room ON members (room);
