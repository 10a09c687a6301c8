"""The ``raw-linkset`` backfill: schemas/raw-linkset.md.

``shape`` defines all names, ``projection`` the value. One module an upstream format extracts it. ``divergence``
checks it against the canonical linkset, ``transform`` decides and splices.
"""

from kit.transforms.raw_linkset.shape import CacheMap, parse_cache_map
from kit.transforms.raw_linkset.transform import RawLinkset

__all__ = ["CacheMap", "RawLinkset", "parse_cache_map"]
