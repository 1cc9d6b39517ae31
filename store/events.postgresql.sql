-- The log. Fixed for ever: these two tables are never migrated.

CREATE TABLE events (
    position BIGINT NOT NULL,
    stream TEXT COLLATE "C" NOT NULL,
    version INTEGER NOT NULL,
    type TEXT COLLATE "C" NOT NULL,
    schema INTEGER NOT NULL,
    time BIGINT NOT NULL,
    actor TEXT COLLATE "C" NOT NULL,
    command BIGINT NOT NULL,
    cause BIGINT NOT NULL,
    header BYTEA NOT NULL,
    digest BYTEA NOT NULL,
    hash BYTEA NOT NULL,
    CONSTRAINT events_pk PRIMARY KEY (position),
    CONSTRAINT events_stream_version UNIQUE (stream, version),
    CONSTRAINT events_digest_length CHECK (length(digest) = 32),
    CONSTRAINT events_hash_length CHECK (length(hash) = 32)
);

CREATE INDEX events_type_position ON events (type, position);
CREATE INDEX events_time ON events (time);

CREATE TABLE payloads (
    position BIGINT NOT NULL,
    data BYTEA,
    erased_by BIGINT,
    CONSTRAINT payloads_pk PRIMARY KEY (position),
    CONSTRAINT payloads_event FOREIGN KEY (position) REFERENCES events (position),
    CONSTRAINT payloads_eraser FOREIGN KEY (erased_by) REFERENCES events (position),
    CONSTRAINT payloads_empty_when_erased CHECK ((data IS NULL) = (erased_by IS NOT NULL))
);

-- One look per statement, not per row. The settings keep the plan on the indexes: it is made once per
-- session, perhaps while the table is empty, and would be a scan of the whole log for ever after.
CREATE FUNCTION events_follow() RETURNS trigger LANGUAGE plpgsql
    SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off AS $$
BEGIN
    IF EXISTS (
        SELECT 1 FROM added a WHERE a.position <> 1
            AND NOT EXISTS (SELECT 1 FROM events e WHERE e.position = a.position - 1)
    ) THEN
        RAISE EXCEPTION 'an event comes directly behind the last one' USING ERRCODE = 'unique_violation';
    END IF;
    IF EXISTS (
        SELECT 1 FROM added a WHERE a.version <> 1
            AND NOT EXISTS (SELECT 1 FROM events e WHERE e.stream = a.stream AND e.version = a.version - 1)
    ) THEN
        RAISE EXCEPTION 'the stream is not at the version that was expected' USING ERRCODE = 'unique_violation';
    END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION log_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% of % is refused: the log only grows', TG_OP, TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END $$;

CREATE FUNCTION payloads_erase() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.position IS DISTINCT FROM OLD.position
        OR OLD.data IS NULL
        OR NEW.data IS NOT NULL
        OR NEW.erased_by <= OLD.position
        OR NOT EXISTS (SELECT 1 FROM events WHERE position = NEW.erased_by AND type = 'payload-erased')
        OR EXISTS (SELECT 1 FROM events WHERE position = OLD.position AND type = 'payload-erased')
    THEN
        RAISE EXCEPTION 'a payload is never changed, only emptied by a later event that says so'
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;

CREATE FUNCTION payloads_begin() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM added WHERE erased_by IS NOT NULL) THEN
        RAISE EXCEPTION 'a payload is not erased before it was written' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER events_insert AFTER INSERT ON events
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION events_follow();
CREATE TRIGGER events_change BEFORE UPDATE OR DELETE OR TRUNCATE ON events
    FOR EACH STATEMENT EXECUTE FUNCTION log_refuse();
CREATE TRIGGER payloads_insert AFTER INSERT ON payloads
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION payloads_begin();
CREATE TRIGGER payloads_update BEFORE UPDATE ON payloads
    FOR EACH ROW EXECUTE FUNCTION payloads_erase();
CREATE TRIGGER payloads_change BEFORE DELETE OR TRUNCATE ON payloads
    FOR EACH STATEMENT EXECUTE FUNCTION log_refuse();

-- ALWAYS: also in a session that has turned ordinary triggers off.
ALTER TABLE events ENABLE ALWAYS TRIGGER events_insert;
ALTER TABLE events ENABLE ALWAYS TRIGGER events_change;
ALTER TABLE payloads ENABLE ALWAYS TRIGGER payloads_insert;
ALTER TABLE payloads ENABLE ALWAYS TRIGGER payloads_update;
ALTER TABLE payloads ENABLE ALWAYS TRIGGER payloads_change;
