"""Sample data: a made-up Seoul, drawn from a seed. Only `loading` and `command` do I/O."""
