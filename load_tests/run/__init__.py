"""A crowd on a real server: phones, worker processes, what they count."""
