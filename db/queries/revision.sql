-- name: current
-- The migration that the database is at; null when everything was taken down again.
SELECT max(version_num) FROM alembic_version
