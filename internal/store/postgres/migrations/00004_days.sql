-- +goose Up

-- Sums of days (UTC) by cell, kept as those of hours are: questions over weeks
-- read a tenth of the rows.
CREATE TABLE days (
	day              BIGINT NOT NULL,    -- days since 1970 UTC
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
	saving           BIGINT NOT NULL,
	PRIMARY KEY (day, cell)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05);

-- Days that have no sums, because these do not fit, are read from the hours. Those
-- before this step have none either.
CREATE TABLE wide_days (day BIGINT PRIMARY KEY);
INSERT INTO wide_days SELECT DISTINCT hour / 24 FROM hours UNION SELECT hour / 24 FROM wide_hours;

-- +goose Down
DROP TABLE wide_days;
DROP TABLE days;
