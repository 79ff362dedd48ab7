"""The hash of `header-router`: the same numbers in every language."""

MASK = (1 << 64) - 1


def hash64(seed: int, value: bytes) -> int:
    """FNV-1a, then mixed so that every bit counts in a comparison."""
    mixed = 0xCBF29CE484222325 ^ seed
    for byte in value:
        mixed = ((mixed ^ byte) * 0x100000001B3) & MASK
    mixed ^= mixed >> 33
    mixed = (mixed * 0xFF51AFD7ED558CCD) & MASK
    return mixed ^ (mixed >> 33)
