"""Parties that are not people: recorded tracks, walkers and crowds, played by honest phones over the wire.

Knows the server by its wire and its HTTP alone: imports `protocol`, never `server` or `db`.
"""
