-- +goose Up

-- A prompt is asked for by its id, and without an index the engine reads all texts to
-- find some. It is dropped and made again around a change of the table's columns:
-- the engine changes none of a table that has an index.
CREATE INDEX prompts_id ON prompts (id);

-- +goose Down
DROP INDEX prompts_id;
