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
	c_input          BIGINT NOT NULL,     -- an hour whose sums do not fit is not kept
	c_cache_read     BIGINT NOT NULL,
	c_cache_write    BIGINT NOT NULL,
	c_cache_write_1h BIGINT NOT NULL,
	c_output         BIGINT NOT NULL,
	c_reasoning      BIGINT NOT NULL,
	c_media          BIGINT NOT NULL,
	c_units          BIGINT NOT NULL,
	c_unsplit        BIGINT NOT NULL,
	cost             BIGINT NOT NULL,
	saving           BIGINT NOT NULL
);

-- seq is the highest commit that the hour's sums hold.
CREATE TABLE hours_done (hour BIGINT NOT NULL, seq BIGINT NOT NULL);

-- +goose Down
DROP TABLE hours_done;
DROP TABLE hours;
