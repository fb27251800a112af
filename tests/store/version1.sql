-- A database as version 1 left it: kept for ever, so that every later version can be tested to read it.

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

PRAGMA application_id = 0x63684e74;
PRAGMA user_version = 1;
INSERT INTO meta VALUES ('lineage', x'4c4c4c4c4c4c4c4c4c4c4c4c4c4c4c4c');
INSERT INTO rooms (no, id, name, permanent, created, head, at, trimmed, indexed, bytes)
    VALUES (1, x'0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a', 'lobby', 1, 5, 4, 30, 1, 3, 31);
INSERT INTO authors VALUES
    (1, 1, x'01010101010101010101010101010101', 1, 'ada', x'02020202020202020202020202020202', 4096),
    (2, 1, x'03030303030303030303030303030303', 3, 'server', x'', 4096);
INSERT INTO outboxes VALUES (1, 1, x'04040404040404040404040404040404', 1);
INSERT INTO taken VALUES (1, 2, 2, 2);
INSERT INTO events VALUES
    (1 << 40 | 2, 10, 1, 1, 2, 1, CAST('hello' AS BLOB)),
    (1 << 40 | 3, 20, 1, 1, 3, 1, CAST('hello again' AS BLOB)),
    (1 << 40 | 4, 30, 2, NULL, NULL, 1, CAST('not indexed yet' AS BLOB));
INSERT INTO texts (rowid, body) SELECT id, CAST(body AS TEXT) FROM events WHERE id & 255 < 4;
INSERT INTO sessions VALUES
    (x'02020202020202020202020202020202', x'01010101010101010101010101010101', 1, 'ada',
     x'0505050505050505050505050505050505050505050505050505050505050505', NULL, 9);
INSERT INTO members VALUES (x'02020202020202020202020202020202', 1, 0, 3);
