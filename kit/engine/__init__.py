"""How much work is done, where, and in which order: what passes over a kit and workers need.

- Passes: ``reading`` (digests), ``survey`` (the first one of a patch), ``rewrite`` (the second one), ``proving`` (every
  document). ``changes`` is what they add up, ``progress`` what they report meanwhile.
- Workers: ``work`` is what one does with a run; ``checks`` refuses a run and proves what became of it, ``reencoding``
  encodes it again. ``pipeline`` keeps results in order, ``executors`` chooses between this thread, several and
  processes (``process_pool``), ``clusters`` has those of others. ``budget`` has how much, ``interrupts`` when to stop.
- On disk: ``lookup`` and ``leaves`` (Merkle trees).
"""
