-- +goose Up

CREATE TABLE ended_sessions (
	hash  BYTEA PRIMARY KEY, -- SHA-256
	until BIGINT NOT NULL
);

-- +goose Down
DROP TABLE ended_sessions;
