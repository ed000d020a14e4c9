-- name: index_costs
-- Every index of ours and what it takes on disk, a partitioned one with all its partitions. For docs/indexes.md.
SELECT format('%s.%s', n.nspname, t.relname) AS table_name, i.relname AS index_name, m.amname AS method,
    x.indisunique AS is_unique,
    (SELECT sum(pg_relation_size(p.oid))::bigint FROM (
        SELECT relid AS oid FROM pg_partition_tree(i.oid) UNION SELECT i.oid) p) AS bytes,
    (SELECT sum(pg_relation_size(p.oid))::bigint FROM (
        SELECT relid AS oid FROM pg_partition_tree(t.oid) UNION SELECT t.oid) p) AS table_bytes
FROM pg_index x
JOIN pg_class i ON i.oid = x.indexrelid
JOIN pg_class t ON t.oid = x.indrelid
JOIN pg_namespace n ON n.oid = t.relnamespace
JOIN pg_am m ON m.oid = i.relam
WHERE t.relowner = 'partyline_owner'::regrole AND NOT t.relispartition AND n.nspname NOT LIKE '\_timescaledb%'
    AND n.nspname NOT LIKE 'pg\_%'
ORDER BY 5 DESC, 1, 2
