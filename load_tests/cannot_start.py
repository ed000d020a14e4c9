"""The one error that ends a command before it has begun: one sentence that names the mend."""

from __future__ import annotations


class CannotStart(Exception):
    """Shown to the person as it is; the command exits with 2. Never holds a token or a coordinate."""
