-- +goose Up

-- Which models have no price is asked at each start and after each change of a
-- price. Calls without one are few as a rule, and the others take no room here.
CREATE INDEX events_unpriced ON events (cell, ts) WHERE source IN (0, 3);

-- +goose Down
DROP INDEX events_unpriced;
