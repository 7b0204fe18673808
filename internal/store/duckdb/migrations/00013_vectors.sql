-- +goose Up

-- Prompts whose text is kept and that wait for a vector.
CREATE TABLE embed_queue (
	id         UUID NOT NULL,
	project    VARCHAR NOT NULL,
	attempts   INTEGER NOT NULL,
	not_before TIMESTAMP NOT NULL
);

-- What an embedder made of the text of a prompt: half floats. One of each prompt
-- at most; the writer sees to it.
CREATE TABLE vectors (
	id       UUID NOT NULL,
	project  VARCHAR NOT NULL,
	embedder VARCHAR NOT NULL,
	seq      BIGINT NOT NULL,   -- in the order in which they were stored
	vector   BLOB NOT NULL
);

INSERT INTO embed_queue SELECT id, project, 0, TIMESTAMP '1970-01-01' FROM prompts;

-- +goose Down
DROP TABLE vectors;
DROP TABLE embed_queue;
