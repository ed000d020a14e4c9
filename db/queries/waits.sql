-- name: who_holds
-- Who a migrator of this database waits for, if it waits for a table: its name, and of the holder process,
-- role, application and the seconds that its transaction has been open (null where we may not see that).
SELECT coalesce(l.relation::regclass::text, 'a row'), b.pid, b.usename, b.application_name,
    floor(extract(epoch FROM clock_timestamp() - b.xact_start))::integer
FROM pg_stat_activity m
JOIN pg_locks l ON l.pid = m.pid AND NOT l.granted AND l.locktype <> 'advisory'
CROSS JOIN LATERAL unnest(pg_blocking_pids(m.pid)) AS p (pid)
JOIN pg_stat_activity b ON b.pid = p.pid
WHERE m.datname = current_database() AND m.application_name = $1::text
ORDER BY b.xact_start LIMIT 1

-- name: who_runs
-- What of Partyline's is connected to this database: names of the pools of gateways, writers and keepers.
SELECT DISTINCT application_name FROM pg_stat_activity
WHERE datname = current_database() AND application_name LIKE 'partyline-%' ORDER BY 1
