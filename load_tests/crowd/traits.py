"""What a crowd is like: shares and rates that a scenario may set. Values only.

A share is 0 to 1; a rate is events an hour, for one member or (the host's) one party; a pair is the least
and the most of a time in seconds, or in hours where its name says so.
"""

from __future__ import annotations

import msgspec

from protocol.precision import Precision

Seconds = tuple[float, float]
MAX_SPELL_S = 3_600.0
MAX_OFF_HOURS = 8_760.0


class Traits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Raises `ValueError` that names the trait which is out of range."""

    walk: float = 0.6
    """How often a party's next way is walked, against `bus` and `metro`; the three need not make 1."""
    bus: float = 0.25
    metro: float = 0.15
    stay_s: Seconds = (120.0, 900.0)
    """How long a party stays at a spot."""
    stray_share: float = 0.2
    """Of the ways and stays: a member goes by other streets, or strolls off and comes back."""
    missed_share: float = 0.1
    """Of the rides: a member takes the next bus or train."""

    tunnels_per_hour: float = 1.0
    """No network: what is measured goes out in a burst afterwards."""
    tunnel_s: Seconds = (20.0, 300.0)
    live_first_share: float = 0.5
    """Of the tunnels: the first fresh fix goes out before the burst of late ones."""
    sleeps_per_hour: float = 1.0
    """The phone measures nothing; its connection may stay."""
    sleep_s: Seconds = (20.0, 240.0)
    kills_per_hour: float = 0.5
    """The app is gone without a word, and resumes with what it held."""
    killed_s: Seconds = (5.0, 120.0)

    late_joiner_share: float = 0.1
    leaver_share: float = 0.05
    ended_share: float = 0.05
    """Of the parties: the host ends the session in the last third."""
    host_changes_per_hour: float = 2.0
    """The host tightens, and loosens again."""
    precision: Precision = Precision.EXACT
    """Of the session when it begins."""
    consent_share: float = 0.8
    """Of the members, after the host has loosened: they agree for themselves."""
    clock_off_share: float = 0.0
    """Of the phones: their clock is wrong by hours, ahead or behind. A server refuses such fixes."""
    clock_off_hours: Seconds = (0.5, 12.0)
    jumps_per_hour: float = 1.0
    """Fixes that are suddenly elsewhere, as of Wi-Fi or cells; more of them in the metro. 1.04 an hour among
    the 29 jumps of helsinki-trafficsense, 1.99 in sfbay-emission (see `fit_jumps`)."""

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if name.endswith("_share") and not 0 <= value <= 1:
                raise ValueError(f"{name} is a share: give 0 to 1")
            if name.endswith("_per_hour") and not 0 <= value <= 3_600:
                raise ValueError(f"{name} is a rate: give 0 to 3600 an hour")
            if name.endswith("_s") and not 0 < value[0] <= value[1] <= MAX_SPELL_S:
                raise ValueError(
                    f"{name} is a pair: give the least and the most, above 0 to {MAX_SPELL_S:g} s"
                )
        low, high = self.clock_off_hours
        if not 0 < low <= high <= MAX_OFF_HOURS:
            raise ValueError("clock_off_hours is a pair: give the least and the most, above 0 to 8760 hours")
        ways = (self.walk, self.bus, self.metro)
        if not all(0 <= way <= 1e6 for way in ways) or sum(ways) <= 0:
            raise ValueError("walk, bus and metro are weights: give numbers of 0 or more, not all 0")
