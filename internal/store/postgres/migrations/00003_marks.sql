-- +goose Up

-- The event became an aggregate; its cost stayed.
ALTER TABLE corrections ADD COLUMN marked BOOLEAN NOT NULL DEFAULT false;

-- +goose Down
ALTER TABLE corrections DROP COLUMN marked;
