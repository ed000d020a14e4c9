"""How finely a position may be shown. Ordered: the coarsest of several wins (G4).

Pure. The order is the whole law: `exact` < `rough` < `private`.
"""

from __future__ import annotations

from enum import StrEnum


class Precision(StrEnum):
    """What others may learn of a member's place."""

    EXACT = "exact"
    ROUGH = "rough"
    PRIVATE = "private"

    @property
    def coarseness(self) -> int:
        """0 for `exact`, 1 for `rough`, 2 for `private`."""
        return _COARSENESS[self]


_COARSENESS = {Precision.EXACT: 0, Precision.ROUGH: 1, Precision.PRIVATE: 2}


def coarsest(*choices: Precision) -> Precision:
    """The precision that all the choices allow (G4).

    Raises `ValueError` when there is no choice at all.
    """
    return max(choices, key=lambda choice: choice.coarseness)


def tightens(before: Precision, after: Precision) -> bool:
    """Whether going from `before` to `after` hides more."""
    return after.coarseness > before.coarseness
