"""A crowd that is made up: parties on trips through a city, the same for the same seed. Does no I/O."""
