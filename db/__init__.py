"""PostgreSQL: migrations, queries, the writer's path, and the embedded stack. Knows nothing of sockets."""
