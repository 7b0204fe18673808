-- +goose Up

-- Numbers of vectors. None is given twice, also when its vector is gone: whoever
-- reads those that came since the last one they know misses none.
CREATE SEQUENCE vector_numbers;
SELECT setval('vector_numbers', (SELECT coalesce(max(seq), 0) + 1 FROM vectors), false);

-- Where there is pgvector, the vectors of an embedder are searched in a table of
-- their own, nearest_<number>, which is made of the table vectors: it can be made
-- again at any time.
CREATE TABLE nearest (
	embedder  TEXT COLLATE "C" PRIMARY KEY,
	number    BIGINT NOT NULL,
	dimension INTEGER NOT NULL,
	indexed   BOOLEAN NOT NULL, -- it has an index of neighbours
	seq       BIGINT NOT NULL,  -- vectors up to this one are in it
	vectors   BIGINT NOT NULL,  -- how many it has
	remains   BOOLEAN NOT NULL  -- its files may have vectors that it has no more
);
CREATE SEQUENCE nearest_numbers;

-- +goose Down
DROP SEQUENCE nearest_numbers;
DROP TABLE nearest;
DROP SEQUENCE vector_numbers;
