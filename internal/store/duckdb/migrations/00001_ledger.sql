-- +goose Up

-- One row for each model call. No primary key and no index: an index costs
-- more than half of the ingest rate; the writer keeps identities unique.
-- Optional texts are NULL when they were not sent.
CREATE TABLE events (
	id               UUID NOT NULL,
	ts               TIMESTAMP NOT NULL,  -- start of the call, UTC
	seq              BIGINT NOT NULL,     -- number of the commit that stored it
	received         TIMESTAMP NOT NULL,  -- UTC
	cell             BIGINT NOT NULL,     -- cells.id
	trace            VARCHAR NOT NULL,
	span             VARCHAR NOT NULL,
	parent_span      VARCHAR,
	name             VARCHAR,
	event_id         VARCHAR,
	content          UBIGINT,             -- fingerprint, only beside an event_id
	user_id          VARCHAR,
	session_id       VARCHAR,
	tagset           BIGINT,              -- tagsets.id

	-- Tokens, disjoint, one column for each cost class that has tokens. What
	-- media tokens were (audio, image, video) stands in usage.
	t_input          BIGINT NOT NULL,
	t_cache_read     BIGINT NOT NULL,
	t_cache_write    BIGINT NOT NULL,
	t_cache_write_1h BIGINT NOT NULL,
	t_media_in       BIGINT NOT NULL,
	t_output         BIGINT NOT NULL,
	t_reasoning      BIGINT NOT NULL,
	t_media_out      BIGINT NOT NULL,
	usage            VARCHAR,             -- JSON: further counts as sent

	latency          BIGINT NOT NULL,     -- microseconds
	first_token      BIGINT,              -- microseconds
	is_streaming     BOOLEAN NOT NULL,
	is_error         BOOLEAN NOT NULL,
	is_aggregate     BOOLEAN NOT NULL,
	error_code       VARCHAR,
	retries          INTEGER NOT NULL,
	metadata         VARCHAR,
	prompt_bytes     INTEGER,

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
	cost             BIGINT NOT NULL,     -- their sum
	saving           BIGINT NOT NULL,
	source           UTINYINT NOT NULL,   -- usage.Source
	is_fallback      BOOLEAN NOT NULL,
	price_id         VARCHAR
);

-- The combinations of attribution that occur: what most questions group and
-- filter by. An event names one by number, so that a question groups millions of
-- events by a small integer and only then looks at texts. A missing text is ''.
-- hash is that of the combination's canonical form.
CREATE TABLE cells (
	id            BIGINT NOT NULL,
	hash          UUID NOT NULL,
	project       VARCHAR NOT NULL,
	feature       VARCHAR NOT NULL,
	provider      VARCHAR NOT NULL,       -- as normalised
	model         VARCHAR NOT NULL,
	sent_provider VARCHAR NOT NULL,       -- as sent
	sent_model    VARCHAR NOT NULL,
	operation     VARCHAR NOT NULL,
	department    VARCHAR NOT NULL,
	environment   VARCHAR NOT NULL,
	service_tier  VARCHAR NOT NULL,
	region        VARCHAR NOT NULL
);

-- Sets of tags are stored once. hash is that of the set's canonical form.
CREATE TABLE tagsets (id BIGINT NOT NULL, hash UUID NOT NULL);
CREATE TABLE tags (tagset BIGINT NOT NULL, name VARCHAR NOT NULL, value VARCHAR NOT NULL);

-- One row for each commit. marker holds the number as text that can be found
-- in a write-ahead log that does not replay.
CREATE TABLE commits (n BIGINT NOT NULL, made TIMESTAMP NOT NULL, events BIGINT NOT NULL, marker VARCHAR NOT NULL);

-- The costs that a correction replaced.
CREATE TABLE corrections (
	n BIGINT NOT NULL, made TIMESTAMP NOT NULL, reason VARCHAR NOT NULL,
	id UUID NOT NULL, ts TIMESTAMP NOT NULL,
	old_cost BIGINT NOT NULL, new_cost BIGINT NOT NULL,
	old_source UTINYINT NOT NULL, new_source UTINYINT NOT NULL,
	old_price_id VARCHAR, new_price_id VARCHAR,
	old_classes BIGINT[] NOT NULL, old_saving BIGINT NOT NULL
);

-- +goose Down
DROP TABLE corrections;
DROP TABLE commits;
DROP TABLE tags;
DROP TABLE tagsets;
DROP TABLE cells;
DROP TABLE events;
