"""Addresses of the demo's world, all from blocks the internet never routes (RFC 1918, 2544, 3849 and 5737).

Homes, hotels, phones and rented servers of every country share the same blocks, for staff and attackers alike. Who
sits where belongs to `company`.
"""

from dataclasses import dataclass
from random import Random
from typing import Final

OFFICE_NETWORKS: Final = {
    "Munich": "192.0.2",
    "London": "198.51.100",
    "Boston": "203.0.113",
    "Singapore": "198.19.255",
}

# First and last third octet of each country's homes and phones in 198.18.0.0/16.
_RESIDENTIAL: Final = {
    "DE": (0, 44),
    "GB": (45, 74),
    "US": (75, 124),
    "SG": (125, 139),
    "PT": (140, 149),
    "PL": (150, 164),
    "IN": (165, 184),
    "FR": (185, 199),
    "NL": (200, 209),
    "CA": (210, 219),
    "BR": (220, 232),
    "RO": (233, 242),
    "VN": (243, 255),
}
# The same for rented servers and cloud regions in 198.19.0.0/16.
_HOSTING: Final = {
    "DE": (0, 39),
    "US": (40, 119),
    "NL": (120, 149),
    "SG": (150, 179),
    "RO": (180, 189),
    "CA": (190, 209),
}
COUNTRIES: Final = tuple(_RESIDENTIAL)


@dataclass(frozen=True, slots=True)
class Network:
    """A /24 or a /48, as the ledger's `ip_index` sees it, and one subscriber's place in it."""

    prefix: str
    country: str
    host: int
    version_6: bool = False

    def address(self, rng: Random) -> str:
        """Return the address of one sitting: an IPv4 line keeps it, IPv6 privacy extensions (RFC 8981) change it."""
        if self.version_6:
            interface = ":".join(f"{rng.getrandbits(16):x}" for _ in range(4))
            return f"{self.prefix}:{self.host:x}:{interface}"
        return f"{self.prefix}.{self.host}"

    def neighbour(self, rng: Random) -> "Network":
        """Return the line after the provider has dealt out a new address in the same network."""
        return Network(self.prefix, self.country, rng.randint(1, 254), self.version_6)


def residential(rng: Random, country: str) -> Network:
    """Return a home or hotel line; two in five have IPv6."""
    first, last = _RESIDENTIAL[country]
    if rng.random() < 0.4:
        site = COUNTRIES.index(country) << 8 | rng.getrandbits(8)
        return Network(f"2001:db8:{site:x}", country, rng.randint(1, 255), version_6=True)
    return Network(f"198.18.{rng.randint(first, last)}", country, rng.randint(1, 254))


def mobile(rng: Random, country: str) -> Network:
    """Return a phone's address: the first few networks of a country, shared by many phones."""
    first, _last = _RESIDENTIAL[country]
    return Network(f"198.18.{first + rng.randint(0, 2)}", country, rng.randint(1, 254))


def hosting(rng: Random, country: str) -> Network:
    """Return a rented server or a cloud region's way out."""
    first, last = _HOSTING.get(country, _HOSTING["NL"])
    return Network(f"198.19.{rng.randint(first, last)}", country, rng.randint(1, 254))
