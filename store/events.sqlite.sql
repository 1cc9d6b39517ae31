-- The log. Fixed for ever: these two tables are never migrated.

CREATE TABLE events (
    position INTEGER NOT NULL,
    stream TEXT NOT NULL,
    version INTEGER NOT NULL,
    type TEXT NOT NULL,
    schema INTEGER NOT NULL,
    time INTEGER NOT NULL,
    actor TEXT NOT NULL,
    command INTEGER NOT NULL,
    cause INTEGER NOT NULL,
    header BLOB NOT NULL,
    digest BLOB NOT NULL,
    hash BLOB NOT NULL,
    CONSTRAINT events_pk PRIMARY KEY (position),
    CONSTRAINT events_stream_version UNIQUE (stream, version),
    CONSTRAINT events_digest_length CHECK (length(digest) = 32),
    CONSTRAINT events_hash_length CHECK (length(hash) = 32)
) STRICT;

CREATE INDEX events_type_position ON events (type, position);
CREATE INDEX events_time ON events (time);

CREATE TABLE payloads (
    position INTEGER NOT NULL,
    data BLOB,
    erased_by INTEGER,
    CONSTRAINT payloads_pk PRIMARY KEY (position),
    CONSTRAINT payloads_event FOREIGN KEY (position) REFERENCES events (position),
    CONSTRAINT payloads_eraser FOREIGN KEY (erased_by) REFERENCES events (position),
    CONSTRAINT payloads_empty_when_erased CHECK ((data IS NULL) = (erased_by IS NOT NULL))
) STRICT;

-- INSERT OR REPLACE deletes the old row without asking the DELETE trigger: it is stopped before it looks.
CREATE TRIGGER events_insert BEFORE INSERT ON events BEGIN
    SELECT RAISE(ABORT, 'conflict: an event comes directly behind the last one')
    WHERE NEW.position IS NOT (SELECT coalesce(max(position), 0) + 1 FROM events);
    SELECT RAISE(ABORT, 'conflict: the stream is not at the version that was expected')
    WHERE NEW.version IS NOT (SELECT coalesce(max(version), 0) + 1 FROM events WHERE stream = NEW.stream);
END;

CREATE TRIGGER events_update BEFORE UPDATE ON events BEGIN
    SELECT RAISE(ABORT, 'refused: an event is never changed');
END;

CREATE TRIGGER events_delete BEFORE DELETE ON events BEGIN
    SELECT RAISE(ABORT, 'refused: an event is never deleted');
END;

CREATE TRIGGER payloads_insert BEFORE INSERT ON payloads BEGIN
    SELECT RAISE(ABORT, 'conflict: the event has its payload')
    WHERE EXISTS (SELECT 1 FROM payloads WHERE position = NEW.position);
    SELECT RAISE(ABORT, 'refused: a payload is not erased before it was written') WHERE NEW.erased_by IS NOT NULL;
END;

CREATE TRIGGER payloads_update BEFORE UPDATE ON payloads BEGIN
    SELECT RAISE(ABORT, 'refused: a payload is never changed, only emptied by a later event that says so')
    WHERE NEW.position IS NOT OLD.position
        OR OLD.data IS NULL
        OR NEW.data IS NOT NULL
        OR NEW.erased_by <= OLD.position
        OR NOT EXISTS (SELECT 1 FROM events WHERE position = NEW.erased_by AND type = 'payload-erased')
        OR EXISTS (SELECT 1 FROM events WHERE position = OLD.position AND type = 'payload-erased');
END;

CREATE TRIGGER payloads_delete BEFORE DELETE ON payloads BEGIN
    SELECT RAISE(ABORT, 'refused: a payload is never deleted');
END;
