"""What a crowd saw, held against what the server promises. It judges from outside: no server code."""
