"""Sample data: a made-up Seoul, drawn from a seed. All but `loading` and `command` know no clock and no I/O."""
