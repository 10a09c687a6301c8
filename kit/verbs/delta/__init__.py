"""``kit delta``: build, apply, verify and squash; the format is :mod:`kit.delta`.

- Verbs: ``build``, ``apply``, ``squash``, ``verify``; ``deltas`` is what they share.
- Build: ``stores`` and ``documents`` keep both kits on disk, ``segments`` compares collections, ``encode`` makes the
  payloads. ``recipe_search`` finds what can be computed instead, ``recipes`` computes it.
- Apply: ``decode`` makes the target of the base and the payloads, with ``joining`` for collections; ``writing`` stores
  it in a job folder.
"""
