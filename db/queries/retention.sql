-- name: set_lock_timeout
-- How long this transaction waits for a chunk that is being read.
SELECT set_config('lock_timeout', $1, true), set_config('statement_timeout', $2, true)

-- name: drop_oldest_expired_chunk
-- Drops one chunk and records it; no row when nothing is old enough.
SELECT * FROM drop_oldest_expired_chunk($1)

-- name: record_failed_drop
-- Records that a chunk could not be dropped.
SELECT * FROM record_failed_drop($1, $2)

-- name: make_partitions_ahead
-- Makes the partitions that the coming days and months need.
SELECT make_partitions_ahead()

-- name: flag_expired
-- Flags rows past their session's own time-to-live.
SELECT flag_expired($1, $2)

-- name: drop_oldest_expired_month
-- Drops one month of posts or feedback and records it; no row when nothing is old enough.
SELECT * FROM drop_oldest_expired_month($1)

-- name: record_failed_month
-- Records that a month could not be dropped.
SELECT * FROM record_failed_month($1, $2)

-- name: delete_expired_doodles
-- Deletes doodles that nobody sees any more.
SELECT delete_expired_doodles($1)

-- name: delete_expired_trip_cache
-- Deletes recommendations that nobody reads any more.
SELECT delete_expired_trip_cache($1)
