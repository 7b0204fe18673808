-- +goose Up

-- Prompts whose text is kept and that wait for a vector.
CREATE TABLE embed_queue (
	id         UUID PRIMARY KEY REFERENCES prompts (id) ON DELETE CASCADE,
	project    TEXT COLLATE "C" NOT NULL,
	attempts   INTEGER NOT NULL,
	not_before BIGINT NOT NULL
);
CREATE INDEX embed_queue_due ON embed_queue (not_before, project, id);

-- What an embedder made of the text of a prompt: half floats. It goes with the
-- text, whoever removes that.
CREATE TABLE vectors (
	id       UUID PRIMARY KEY REFERENCES prompts (id) ON DELETE CASCADE,
	project  TEXT COLLATE "C" NOT NULL,
	embedder TEXT COLLATE "C" NOT NULL,
	seq      BIGINT NOT NULL,            -- in the order in which they were stored
	vector   BYTEA NOT NULL
);
CREATE INDEX vectors_seq ON vectors (embedder, seq);

INSERT INTO embed_queue SELECT id, project, 0, 0 FROM prompts;

-- +goose Down
DROP TABLE vectors;
DROP TABLE embed_queue;
