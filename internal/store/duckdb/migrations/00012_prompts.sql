-- +goose Up

-- Which prompt the event had; NULL for none, and for events from before.
ALTER TABLE events ADD COLUMN prompt_id UUID;

-- The texts of prompts, redacted, each once. Where a project keeps none there is
-- no row. No primary key and no index, as with events: the writer keeps ids unique.
CREATE TABLE prompts (
	id      UUID NOT NULL,
	project VARCHAR NOT NULL,
	seq     BIGINT NOT NULL,   -- number of the commit that stored it
	bytes   INTEGER NOT NULL,
	text    VARCHAR NOT NULL
);

-- +goose Down
DROP TABLE prompts;
ALTER TABLE events DROP COLUMN prompt_id;
