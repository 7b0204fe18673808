-- +goose Up

CREATE TABLE api_keys (
	id             VARCHAR NOT NULL,
	name           VARCHAR NOT NULL,
	hash           BLOB NOT NULL,         -- SHA-256 of the secret
	hint           VARCHAR NOT NULL,
	role           VARCHAR NOT NULL,
	project        VARCHAR NOT NULL,      -- '' is every project
	created_by     VARCHAR NOT NULL,
	created        TIMESTAMP NOT NULL,
	expires        TIMESTAMP,
	revoked        TIMESTAMP,
	last_used      TIMESTAMP,
	previous       BLOB,
	previous_until TIMESTAMP
);
CREATE TABLE settings (name VARCHAR NOT NULL, value BLOB NOT NULL);

-- +goose Down
DROP TABLE settings;
DROP TABLE api_keys;
