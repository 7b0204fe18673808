-- +goose Up

-- Which prompt the event had; NULL for none, and for events from before.
ALTER TABLE events ADD COLUMN prompt_id UUID;
CREATE INDEX events_prompt ON events (prompt_id, ts) WHERE prompt_id IS NOT NULL;

-- The texts of prompts, redacted, each once. Where a project keeps none there is
-- no row.
CREATE TABLE prompts (
	id      UUID PRIMARY KEY,
	project TEXT COLLATE "C" NOT NULL,
	seq     BIGINT NOT NULL,             -- number of the commit that stored it
	bytes   INTEGER NOT NULL,
	text    TEXT COLLATE "C" NOT NULL
);
CREATE INDEX prompts_project ON prompts (project, id);

-- +goose Down
DROP TABLE prompts;
DROP INDEX events_prompt;
ALTER TABLE events DROP COLUMN prompt_id;
