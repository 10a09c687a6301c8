"""Makes files appear, on disk and under their names: nothing is ever half written.

- Steps: ``disk`` (durable writes and renames), ``folders`` (folders that are held open), ``publish`` (one file),
  ``paths`` (names next to a kit, and the check that no output overlaps an input), ``secret_files``, ``scratch`` (files
  and SQLite of one run).
- A run: ``job`` (its folder), ``journal`` (its finished work) and ``spool`` (its finished frames).
- The end: ``switch`` (what gets which name) and ``commit`` (the only place where a kit's name changes).
"""
