-- +goose Up

CREATE TABLE api_keys (
	id             VARCHAR NOT NULL,
	name           VARCHAR NOT NULL,
	hash           VARCHAR NOT NULL,      -- SHA-256 of the secret, hexadecimal
	hint           VARCHAR NOT NULL,
	role           VARCHAR NOT NULL,
	project        VARCHAR NOT NULL,      -- '' is every project
	created_by     VARCHAR NOT NULL,
	created        TIMESTAMP NOT NULL,
	expires        TIMESTAMP,
	revoked        TIMESTAMP,
	last_used      TIMESTAMP,
	previous       VARCHAR,
	previous_until TIMESTAMP
);
CREATE TABLE settings (name VARCHAR NOT NULL, value VARCHAR NOT NULL); -- value: base64

-- +goose Down
DROP TABLE settings;
DROP TABLE api_keys;
