-- +goose Up

-- The number of the last commit that erased a person: sets of tags from before it
-- may be gone.
ALTER TABLE ledger ADD COLUMN erased BIGINT NOT NULL DEFAULT 0;

-- +goose Down
ALTER TABLE ledger DROP COLUMN erased;
