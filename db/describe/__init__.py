"""What the catalogue of a migrated database says, as files that people read: rights, tables, the schema.

`python -m db.describe` writes them, `--check` compares them. Nothing here decides what is right.
"""
