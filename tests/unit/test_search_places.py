"""Addresses and networks of a question as what their keyed hashes are compared with."""

import ipaddress

import pytest

from audit_pipelines.intelligence.search.asked import Conditions
from audit_pipelines.ledger import sealing
from audit_pipelines.search.conditions import Wanted, parameters, unsupported_networks

KEY = b"k" * 32


def asked(*places: str) -> dict[str, set[bytes]]:
    found = parameters(Wanted(Conditions(addresses=places)), KEY)
    return {name: set(found[name] or ()) for name in ("addresses", "networks")}


def is_found(parts: dict[str, set[bytes]], address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    index = sealing.ip_index(KEY, str(address))
    return index in parts["addresses"] or index[:8] in parts["networks"]


@pytest.mark.parametrize("place", ["192.0.2.7", "192.0.2.7/32", "2001:db8::7", "2001:db8::7/128"])
def test_one_address_is_itself_alone(place: str) -> None:
    address = place.partition("/")[0]
    assert asked(place) == {"addresses": {sealing.ip_index(KEY, address)}, "networks": set()}


@pytest.mark.parametrize("place", ["192.0.2.0/24", "192.0.2.0/28", "192.0.0.0/16", "192.0.2.0/23"])
def test_a_network_has_its_addresses_and_no_others(place: str) -> None:
    network, parts = ipaddress.ip_network(place), asked(place)
    assert is_found(parts, network[1])
    assert is_found(parts, network[-1])
    assert not is_found(parts, network[-1] + 1)
    assert not unsupported_networks(Conditions(addresses=(place,)))


@pytest.mark.parametrize("place", ["2001:db8::/32", "2001:db8::/40", "2001:db8:1::/48", "2001:db8::/120"])
def test_so_has_one_of_ipv6(place: str) -> None:
    network, parts = ipaddress.ip_network(place), asked(place)
    assert is_found(parts, network[1])
    assert is_found(parts, network[-1])
    assert not is_found(parts, network[-1] + 1)


@pytest.mark.parametrize("place", ["2001:db8::/64", "2000::/16", "0.0.0.0/0"])
def test_too_many_addresses_are_a_condition_that_nothing_fulfils(place: str) -> None:
    assert unsupported_networks(Conditions(addresses=(place,))) == (place,)
    assert asked(place) == {"addresses": {b""}, "networks": set()}
    excluded = parameters(Wanted(Conditions(not_addresses=(place,))), KEY)
    assert excluded["not_addresses"] is None
