"""Sample data: a made-up Seoul, drawn from a seed. All but `loading` and `command` are pure: no clock, no I/O."""
