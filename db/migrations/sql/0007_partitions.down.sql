DROP FUNCTION make_partitions_ahead();
ALTER TABLE retention_runs DROP COLUMN table_name;
