"""How much work is done, where, and in which order: what passes over a kit and workers need.

- Passes: ``passing`` reads a kit once, ``reading`` digests it, ``survey`` finds what transforms need, ``rewrite``
  writes the new members, ``proving`` checks every document. ``changes`` adds up what a pass did, ``progress`` reports
  it.
- Workers: ``work`` is what one does with a run; ``checks`` refuses a run or proves it, ``reencoding`` encodes it again.
  ``pipeline`` keeps results in order; ``executors`` chooses between this thread, several and processes
  (``process_pool``), and ``clusters`` reaches those of other machines. ``budget`` bounds memory, ``interrupts`` ends a
  run.
- On disk: ``lookup`` (sources by key) and ``leaves`` (Merkle trees).
"""
