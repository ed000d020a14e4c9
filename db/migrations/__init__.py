"""The database's shape, as SQL files in `sql/` and thin Alembic versions that name them."""
