-- sample: one row. The database's counters; then what proves which processes of this machine serve us:
-- our own backend and the ports of our connection, and the ports of the writers' (on the server's machine only).
SELECT
    d.xact_commit AS commits,
    d.tup_inserted AS rows_inserted,
    d.numbackends AS connections,
    pg_backend_pid() AS pid,
    inet_client_port() AS our_port,
    inet_server_port() AS server_port,
    ARRAY(
        SELECT a.client_port
        FROM pg_stat_activity AS a
        WHERE a.application_name = 'partyline-writer'
          AND a.client_addr = inet_server_addr()
          AND a.client_port > 0
    ) AS writer_ports
FROM pg_stat_database AS d
WHERE d.datname = current_database()
