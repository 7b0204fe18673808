-- +goose Up

-- The price list that takes the place of the shipped book: one row once there
-- ever was one. doc is NULL when the shipped book is in force again.
CREATE TABLE price_lists (number BIGINT NOT NULL, made TIMESTAMP NOT NULL, doc VARCHAR);

-- +goose Down
DROP TABLE price_lists;
