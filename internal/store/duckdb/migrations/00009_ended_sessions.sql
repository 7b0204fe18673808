-- +goose Up

CREATE TABLE ended_sessions (
	hash  VARCHAR NOT NULL,  -- SHA-256, hexadecimal
	until TIMESTAMP NOT NULL
);

-- +goose Down
DROP TABLE ended_sessions;
