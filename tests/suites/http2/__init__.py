"""The cases of h2spec 2.6 (147 of them), written anew on raw frames: a library would refuse to send most of them."""

from .generic import GENERIC
from .hpack import HPACK
from .sections import SECTIONS

CASES = [*GENERIC, *SECTIONS, *HPACK]
