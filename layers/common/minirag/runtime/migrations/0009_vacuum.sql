-- A small index is vacuumed after fewer dead rows: a thousand rows of 2 kB are a seventh of the text of ten thousand
-- chunks. In large tables their share decides, as before.
ALTER TABLE lexical_pages SET (autovacuum_vacuum_threshold = 100, toast.autovacuum_vacuum_threshold = 200);
ALTER TABLE vector_signatures SET (toast.autovacuum_vacuum_threshold = 200);
