-- +goose Up

-- The sums, by UTC day and cell, of events that were removed for their age: all
-- that is left of them. A day and cell may have several rows, where one would not
-- hold the sum.
CREATE TABLE past_days (
	day              BIGINT NOT NULL,     -- days since 1970 UTC
	cell             BIGINT NOT NULL,
	calls            BIGINT NOT NULL,
	errors           BIGINT NOT NULL,
	unpriced         BIGINT NOT NULL,
	fallback         BIGINT NOT NULL,
	input            BIGINT NOT NULL,
	output           BIGINT NOT NULL,
	cached           BIGINT NOT NULL,
	t_input          BIGINT NOT NULL,
	t_cache_write    BIGINT NOT NULL,
	t_cache_write_1h BIGINT NOT NULL,
	t_output         BIGINT NOT NULL,
	t_reasoning      BIGINT NOT NULL,
	t_media          BIGINT NOT NULL,
	latency          BIGINT NOT NULL,
	first            TIMESTAMP NOT NULL,
	last             TIMESTAMP NOT NULL,
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
	saving           BIGINT NOT NULL
);

-- Before when the events of a project were removed, at the latest.
CREATE TABLE pruned (project VARCHAR NOT NULL, before TIMESTAMP NOT NULL);

-- How many days a project keeps what: 0 is for ever, NULL is as all projects ('').
CREATE TABLE retention (project VARCHAR NOT NULL, event_days BIGINT, prompt_days BIGINT);

-- +goose Down
DROP TABLE retention;
DROP TABLE pruned;
DROP TABLE past_days;
