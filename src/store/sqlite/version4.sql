-- Version 4: a ban of a guest is for its alias too, and bans of different people who were called alike are different bans.

CREATE TABLE bans4 (
    room BLOB NOT NULL,               -- empty: the whole server
    target TEXT NOT NULL,             -- an alias, a mask or an address prefix
    principal BLOB NOT NULL,          -- of the alias; empty of a mask or a prefix
    guest INTEGER NOT NULL,           -- the principal was a guest
    network TEXT,                     -- where the guest came from, if guests from there are banned too
    by TEXT NOT NULL,
    reason TEXT NOT NULL,
    until INTEGER,
    PRIMARY KEY (room, target, principal)
) WITHOUT ROWID;

INSERT INTO bans4
SELECT room, target, ifnull(principal, x''), principal IS NOT NULL AND principal NOT IN (SELECT principal FROM accounts),
    NULL, by, reason, until
FROM bans;

DROP TABLE bans;
ALTER TABLE bans4 RENAME TO bans;
