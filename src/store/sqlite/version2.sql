-- Version 2: people, and how rooms are.

CREATE TABLE accounts (
    principal BLOB PRIMARY KEY,
    alias TEXT NOT NULL,              -- reserved for ever, also when the account is deleted
    password TEXT,                    -- a PHC string
    admin INTEGER NOT NULL,
    deleted INTEGER NOT NULL,
    created INTEGER NOT NULL,
    seen INTEGER NOT NULL
) WITHOUT ROWID;

-- Rooms that are not plain public ones.
CREATE TABLE settings (
    room BLOB PRIMARY KEY,
    kind INTEGER NOT NULL,
    topic TEXT NOT NULL,
    max_members INTEGER,
    announcement_only INTEGER NOT NULL,
    archived INTEGER NOT NULL,
    history INTEGER NOT NULL,
    password TEXT,                    -- a PHC string
    one BLOB,                         -- the two whose direct it is, the smaller id first
    other BLOB
) WITHOUT ROWID;

CREATE TABLE standings (
    room BLOB NOT NULL,
    principal BLOB NOT NULL,
    kind INTEGER NOT NULL,
    alias TEXT NOT NULL,
    member INTEGER NOT NULL,
    invited INTEGER NOT NULL,
    rank INTEGER NOT NULL,
    muted_until INTEGER,
    since INTEGER NOT NULL,
    read INTEGER NOT NULL,
    PRIMARY KEY (room, principal)
) WITHOUT ROWID;

CREATE TABLE bans (
    room BLOB NOT NULL,               -- empty: the whole server
    target TEXT NOT NULL,             -- an alias, a mask or an address prefix
    principal BLOB,                   -- of the alias
    by TEXT NOT NULL,
    reason TEXT NOT NULL,
    until INTEGER,
    PRIMARY KEY (room, target)
) WITHOUT ROWID;

CREATE TABLE blocks (
    principal BLOB NOT NULL,
    blocked BLOB NOT NULL,
    PRIMARY KEY (principal, blocked)
) WITHOUT ROWID;

CREATE TABLE codes (
    hash BLOB PRIMARY KEY,
    reset BLOB,                       -- whose password it sets; NULL: it makes an account
    until INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE audit (
    n INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    by BLOB NOT NULL,
    alias TEXT NOT NULL,
    act TEXT NOT NULL,
    room TEXT NOT NULL,
    whom TEXT NOT NULL,
    text TEXT NOT NULL
);
