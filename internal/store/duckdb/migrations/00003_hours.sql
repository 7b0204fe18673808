-- +goose Up

-- Sums of whole hours by cell, made in the background from events that no longer
-- change, so that questions over weeks read a tenth of the rows. An hour that is
-- not in hours_done is read from the events; a change of an event takes its hour
-- out of both tables in the same transaction. Spans that only sum their children
-- are left out.
CREATE TABLE hours (
	hour             BIGINT NOT NULL,     -- hours since 1970 UTC
	cell             BIGINT NOT NULL,
	calls            BIGINT NOT NULL,
	errors           BIGINT NOT NULL,
	unpriced         BIGINT NOT NULL,
	fallback         BIGINT NOT NULL,
	input            BIGINT NOT NULL,
	output           BIGINT NOT NULL,
	cached           BIGINT NOT NULL,
	latency          BIGINT NOT NULL,
	first            TIMESTAMP NOT NULL,
	last             TIMESTAMP NOT NULL,
	c_input          HUGEINT NOT NULL,
	c_cache_read     HUGEINT NOT NULL,
	c_cache_write    HUGEINT NOT NULL,
	c_cache_write_1h HUGEINT NOT NULL,
	c_output         HUGEINT NOT NULL,
	c_reasoning      HUGEINT NOT NULL,
	c_media          HUGEINT NOT NULL,
	c_units          HUGEINT NOT NULL,
	c_unsplit        HUGEINT NOT NULL,
	cost             HUGEINT NOT NULL,
	saving           HUGEINT NOT NULL
);

-- seq is the highest commit that the hour's sums hold.
CREATE TABLE hours_done (hour BIGINT NOT NULL, seq BIGINT NOT NULL);

-- +goose Down
DROP TABLE hours_done;
DROP TABLE hours;
