-- +goose Up

-- The one row that says where the ledger stands. A commit locks it first and
-- writes it last, so commits happen one after the other, whichever server makes
-- them, and no number becomes visible before a lower one.
CREATE TABLE ledger (
	one      BOOLEAN PRIMARY KEY DEFAULT true CHECK (one),
	last     BIGINT NOT NULL DEFAULT 0,  -- number of the last commit
	revision BIGINT NOT NULL DEFAULT 0,  -- of the last that corrected or removed events
	events   BIGINT NOT NULL DEFAULT 0   -- stored, aggregates included
) WITH (fillfactor = 10);
INSERT INTO ledger DEFAULT VALUES;

-- One row for each model call, in a partition a month (UTC). Times are
-- microseconds since 1970. Optional texts are NULL when they were not sent.
CREATE TABLE events (
	ts               BIGINT NOT NULL,    -- start of the call
	id               UUID NOT NULL,
	seq              BIGINT NOT NULL,    -- number of the commit that stored it
	received         BIGINT NOT NULL,
	cell             BIGINT NOT NULL,    -- cells.id
	tagset           BIGINT,             -- tagsets.id

	-- Tokens, disjoint, one column for each cost class that has tokens. What media
	-- tokens were (audio, image, video) stands in usage.
	t_input          BIGINT NOT NULL,
	t_cache_read     BIGINT NOT NULL,
	t_cache_write    BIGINT NOT NULL,
	t_cache_write_1h BIGINT NOT NULL,
	t_media_in       BIGINT NOT NULL,
	t_output         BIGINT NOT NULL,
	t_reasoning      BIGINT NOT NULL,
	t_media_out      BIGINT NOT NULL,

	latency          BIGINT NOT NULL,    -- microseconds
	first_token      BIGINT,             -- microseconds

	-- Picodollars.
	billed           BIGINT,
	estimated        BIGINT,
	c_input          BIGINT NOT NULL,
	c_cache_read     BIGINT NOT NULL,
	c_cache_write    BIGINT NOT NULL,
	c_cache_write_1h BIGINT NOT NULL,
	c_output         BIGINT NOT NULL,
	c_reasoning      BIGINT NOT NULL,
	c_media          BIGINT NOT NULL,
	c_units          BIGINT NOT NULL,
	c_unsplit        BIGINT NOT NULL,
	cost             BIGINT NOT NULL,    -- their sum
	saving           BIGINT NOT NULL,

	content          BIGINT,             -- fingerprint, only beside an event_id
	retries          INTEGER NOT NULL,
	prompt_bytes     INTEGER,
	source           SMALLINT NOT NULL,  -- usage.Source
	is_fallback      BOOLEAN NOT NULL,
	is_streaming     BOOLEAN NOT NULL,
	is_error         BOOLEAN NOT NULL,
	is_aggregate     BOOLEAN NOT NULL,

	trace            TEXT COLLATE "C" NOT NULL,
	span             TEXT COLLATE "C" NOT NULL,
	parent_span      TEXT COLLATE "C",
	name             TEXT COLLATE "C",
	event_id         TEXT COLLATE "C",
	user_id          TEXT COLLATE "C",
	session_id       TEXT COLLATE "C",
	error_code       TEXT COLLATE "C",
	price_id         TEXT COLLATE "C",
	usage            TEXT COLLATE "C",   -- JSON: further counts as sent
	metadata         TEXT COLLATE "C",

	-- A derived identity contains the time, so it is unique in all partitions. In
	-- this order new events go to the end of the index, and pages are read from it.
	PRIMARY KEY (ts, id)
) PARTITION BY RANGE (ts);

CREATE INDEX events_id ON events (id);
CREATE INDEX events_trace ON events (trace);
CREATE INDEX events_tagset ON events (tagset, ts) WHERE tagset IS NOT NULL;
-- Events lie in the order of their commits, so the few after a given one are found
-- by a summary of pages.
CREATE INDEX events_seq ON events USING brin (seq) WITH (pages_per_range = 16, autosummarize = on);

-- Explicit identities are unique whatever their time.
CREATE TABLE explicit_ids (
	id      UUID PRIMARY KEY,
	content BIGINT NOT NULL,             -- fingerprint: tells a retry from a conflict
	ts      BIGINT NOT NULL
);
CREATE INDEX explicit_ids_ts ON explicit_ids (ts);

-- The combinations of attribution that occur: what most questions group and
-- filter by. An event names one by number. A missing text is ''. hash is that of
-- the combination's canonical form.
CREATE TABLE cells (
	id            BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	hash          UUID NOT NULL UNIQUE,
	project       TEXT COLLATE "C" NOT NULL,
	feature       TEXT COLLATE "C" NOT NULL,
	provider      TEXT COLLATE "C" NOT NULL,  -- as normalised
	model         TEXT COLLATE "C" NOT NULL,
	sent_provider TEXT COLLATE "C" NOT NULL,  -- as sent
	sent_model    TEXT COLLATE "C" NOT NULL,
	operation     TEXT COLLATE "C" NOT NULL,
	department    TEXT COLLATE "C" NOT NULL,
	environment   TEXT COLLATE "C" NOT NULL,
	service_tier  TEXT COLLATE "C" NOT NULL,
	region        TEXT COLLATE "C" NOT NULL
);

-- Sets of tags are stored once. hash is that of the set's canonical form.
CREATE TABLE tagsets (
	id   BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	hash UUID NOT NULL UNIQUE
);
CREATE TABLE tags (
	tagset BIGINT NOT NULL,
	name   TEXT COLLATE "C" NOT NULL,
	value  TEXT COLLATE "C" NOT NULL,
	PRIMARY KEY (tagset, name)
);
CREATE INDEX tags_value ON tags (name, value, tagset);

-- Sums of hours by cell, changed in the transaction that changes their events.
-- Spans that only sum their children are left out.
CREATE TABLE hours (
	hour             BIGINT NOT NULL,    -- hours since 1970 UTC
	cell             BIGINT NOT NULL,
	calls            BIGINT NOT NULL,
	errors           BIGINT NOT NULL,
	unpriced         BIGINT NOT NULL,
	fallback         BIGINT NOT NULL,
	input            BIGINT NOT NULL,
	output           BIGINT NOT NULL,
	cached           BIGINT NOT NULL,    -- the tokens of cache reads, too
	t_input          BIGINT NOT NULL,
	t_cache_write    BIGINT NOT NULL,
	t_cache_write_1h BIGINT NOT NULL,
	t_output         BIGINT NOT NULL,
	t_reasoning      BIGINT NOT NULL,
	t_media          BIGINT NOT NULL,    -- of both directions
	latency          BIGINT NOT NULL,
	first            BIGINT NOT NULL,
	last             BIGINT NOT NULL,
	c_input          BIGINT NOT NULL,
	c_cache_read     BIGINT NOT NULL,
	c_cache_write    BIGINT NOT NULL,
	c_cache_write_1h BIGINT NOT NULL,
	c_output         BIGINT NOT NULL,
	c_reasoning      BIGINT NOT NULL,
	c_media          BIGINT NOT NULL,
	c_units          BIGINT NOT NULL,
	c_unsplit        BIGINT NOT NULL,
	cost             BIGINT NOT NULL,
	saving           BIGINT NOT NULL,
	PRIMARY KEY (hour, cell)
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05);

-- Hours whose sums do not fit 64 bits have none; they are read from the events.
CREATE TABLE wide_hours (hour BIGINT PRIMARY KEY);

-- The costs that a correction replaced.
CREATE TABLE corrections (
	n            BIGINT NOT NULL,
	made         BIGINT NOT NULL,
	reason       TEXT NOT NULL,
	id           UUID NOT NULL,
	ts           BIGINT NOT NULL,
	old_cost     BIGINT NOT NULL,
	new_cost     BIGINT NOT NULL,
	old_source   SMALLINT NOT NULL,
	new_source   SMALLINT NOT NULL,
	old_price_id TEXT,
	new_price_id TEXT,
	old_classes  BIGINT[] NOT NULL,
	old_saving   BIGINT NOT NULL
);
CREATE INDEX corrections_event ON corrections (ts, id);

-- +goose Down
DROP TABLE corrections;
DROP TABLE wide_hours;
DROP TABLE hours;
DROP TABLE tags;
DROP TABLE tagsets;
DROP TABLE cells;
DROP TABLE explicit_ids;
DROP TABLE events;
DROP TABLE ledger;
