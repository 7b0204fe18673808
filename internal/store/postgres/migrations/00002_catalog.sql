-- +goose Up

CREATE TABLE own_prices (position BIGINT PRIMARY KEY, id TEXT NOT NULL, doc TEXT NOT NULL);
CREATE TABLE price_versions (id TEXT PRIMARY KEY, doc TEXT NOT NULL);

-- The price list that takes the place of the shipped book: one row once there
-- ever was one. doc is NULL when the shipped book is in force again.
CREATE TABLE price_lists (number BIGINT NOT NULL, made BIGINT NOT NULL, doc TEXT);

CREATE TABLE audit (
	id     BIGINT PRIMARY KEY,
	made   BIGINT NOT NULL,
	actor  TEXT NOT NULL,
	action TEXT NOT NULL,
	detail TEXT NOT NULL
);

CREATE TABLE runs (
	id       TEXT COLLATE "C" PRIMARY KEY,
	name     TEXT NOT NULL,
	state    TEXT NOT NULL,
	started  BIGINT NOT NULL,
	finished BIGINT,
	input    TEXT,
	result   TEXT,
	error    TEXT NOT NULL
);
CREATE INDEX runs_started ON runs (started, id);

CREATE TABLE api_keys (
	id             TEXT COLLATE "C" PRIMARY KEY,
	name           TEXT NOT NULL,
	hash           BYTEA NOT NULL,       -- SHA-256 of the secret
	hint           TEXT NOT NULL,
	role           TEXT NOT NULL,
	project        TEXT NOT NULL,        -- '' is every project
	created_by     TEXT NOT NULL,
	created        BIGINT NOT NULL,
	expires        BIGINT,
	revoked        BIGINT,
	last_used      BIGINT,
	previous       BYTEA,
	previous_until BIGINT
);
CREATE TABLE settings (name TEXT PRIMARY KEY, value BYTEA NOT NULL);

-- +goose Down
DROP TABLE settings;
DROP TABLE api_keys;
DROP TABLE runs;
DROP TABLE audit;
DROP TABLE price_lists;
DROP TABLE price_versions;
DROP TABLE own_prices;
