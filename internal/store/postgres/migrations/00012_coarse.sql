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
	kind SMALLINT NOT NULL,
	LIKE hours,
	PRIMARY KEY (kind, hour, cell)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05);

CREATE TABLE coarse_days (
	kind SMALLINT NOT NULL,
	LIKE days,
	PRIMARY KEY (kind, day, cell)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05);

-- +goose Down
DROP TABLE coarse_days;
DROP TABLE coarse_hours;
DROP TABLE coarse_cells;
ALTER TABLE ledger DROP COLUMN form;
