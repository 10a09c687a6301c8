"""``kit plan`` and ``kit patch``: one path from a kit to the kit that the transforms make of it.

- ``request`` has the request, the report and the keys; ``plan`` finds what can be known before anything is written;
  ``judging`` judges base and result; ``passes`` rewrites; ``generation`` makes what is signed; ``patch`` is the run.
"""
