-- Version 3: how much of a room is kept, where it isn't what the server keeps of every room.

CREATE TABLE retention (
    room BLOB PRIMARY KEY,
    max_age INTEGER,                  -- milliseconds; NULL: of any age, and so on
    max_events INTEGER,
    max_bytes INTEGER
) WITHOUT ROWID;
