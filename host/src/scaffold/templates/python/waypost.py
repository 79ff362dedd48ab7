"""Helpers for policies: cookies, networks of client addresses, hashing.

Import what you need; the rest costs nothing in a call.
"""

import math
from ipaddress import IPv4Address, ip_address, ip_network

MASK = (1 << 64) - 1


def cookie(field, name):
    """The value of the first cookie of this name in a `cookie` field, without quotes.

    The field is bytes, or None; so is the value, None if there is none.
    """
    for pair in (field or b"").split(b";"):
        found, equals, value = pair.strip().partition(b"=")
        if equals and found == name.encode():
            return value[1:-1] if len(value) > 1 and value[:1] == value[-1:] == b'"' else value
    return None


class Networks:
    """What is known of networks, such as "192.0.2.0/24".

    One look for each length that occurs, however many have it.
    """

    def __init__(self, known):
        self._lengths, self._known = [], {}
        for text, value in dict(known).items():
            try:
                network = ip_network(text)
            except ValueError as error:
                such = "no network such as 192.0.2.0/24 or 2001:db8::/32"
                raise ValueError(f'"{text}" is {such}: {error}') from None
            # Of an IPv4 address inside of IPv6 the first 96 bits are always the same.
            length = network.prefixlen + (96 if network.version == 4 else 0)
            self._known[length, _number(network.network_address) >> (128 - length)] = value
        self._lengths = sorted({length for length, _ in self._known}, reverse=True)

    def longest(self, address, default=None):
        """What is known of the longest network that holds this address.

        The address is as `request.client_address()` gives it.
        """
        try:
            number = _number(ip_address(address))
        except ValueError:
            return default
        for length in self._lengths:
            key = length, number >> (128 - length)
            if key in self._known:
                return self._known[key]
        return default


def _number(address):
    """IPv4 as IPv6, so that both are compared alike."""
    return int(address) | (0xFFFF << 32) if isinstance(address, IPv4Address) else int(address)


def hash_of(data, seed=0):
    """A hash of these bytes, the same on all workers and in all languages.

    For sharding, not against an attacker.
    """
    value = 0xCBF29CE484222325 ^ _mix(seed)
    for byte in data:
        value = ((value ^ byte) * 0x100000001B3) & MASK
    return _mix(value)


def part(data, parts, seed=0):
    """Where these bytes fall in a line of `parts`: 0 to `parts` - 1."""
    return (hash_of(data, seed) * parts) >> 64


def rendezvous(key, candidates):
    """The candidate that this key belongs to; None if there are none.

    A candidate is an index, `hash_of` its address, and its weight. When one goes, only its own
    keys move; when one is new, only the keys that move to it. Keep the hashes of addresses from
    `backends_changed`: they are most of the work.
    """
    key, best, chosen = hash_of(key), -1.0, None
    for index, seed, weight in candidates:
        uniform = ((_mix(key ^ seed) >> 11) + 0.5) / (1 << 53)
        score = max(weight, 1) / -math.log(uniform)
        # The last of several with the same score.
        if score >= best:
            best, chosen = score, index
    return chosen


def _mix(value):
    """Every bit of the input changes about half of the bits of the result."""
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & MASK
    return value ^ (value >> 31)
