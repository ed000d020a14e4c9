-- name: track
-- Stored positions of a session, oldest first; nothing expired, nothing of who is private now.
SELECT user_id, recorded_at, fix_offset_ms, lat, lon, accuracy_m, precision
FROM party_track($1, $2, $3, $4, $5)
