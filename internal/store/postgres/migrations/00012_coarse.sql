-- +goose Up

-- What a server that commits has to keep up; one that knows less must not commit.
ALTER TABLE ledger ADD COLUMN form SMALLINT NOT NULL DEFAULT 0;

-- For each cell those that have only a few of its texts, one of each kind
-- (sqlquery.CoarseKinds): they are rows of cells, too.
CREATE TABLE coarse_cells (
	cell   BIGINT NOT NULL,
	kind   SMALLINT NOT NULL,
	coarse BIGINT NOT NULL,
	PRIMARY KEY (cell, kind)
);

-- The sums of hours and days by coarse cells. Those of what is stored already are
-- made when a server starts.
CREATE TABLE coarse_hours (
	kind             SMALLINT NOT NULL,
	hour             BIGINT NOT NULL,
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
	PRIMARY KEY (kind, hour, cell)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05);

CREATE TABLE coarse_days (
	kind             SMALLINT NOT NULL,
	day              BIGINT NOT NULL,
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
	PRIMARY KEY (kind, day, cell)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05);

-- +goose Down
DROP TABLE coarse_days;
DROP TABLE coarse_hours;
DROP TABLE coarse_cells;
ALTER TABLE ledger DROP COLUMN form;
