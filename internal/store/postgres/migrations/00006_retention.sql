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
	saving           BIGINT NOT NULL
);
CREATE INDEX past_days_day ON past_days (day);

-- Before when the events of a project were removed, at the latest. The ledger's
-- row has the latest of all, 0 for none.
CREATE TABLE pruned (project TEXT COLLATE "C" PRIMARY KEY, before BIGINT NOT NULL);
ALTER TABLE ledger ADD COLUMN pruned BIGINT NOT NULL DEFAULT 0;

-- How many days a project keeps what: 0 is for ever, NULL is as all projects ('').
CREATE TABLE retention (project TEXT COLLATE "C" PRIMARY KEY, event_days BIGINT, prompt_days BIGINT);

-- +goose Down
DROP TABLE retention;
ALTER TABLE ledger DROP COLUMN pruned;
DROP TABLE pruned;
DROP TABLE past_days;
