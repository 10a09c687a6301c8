"""Everything that makes a file appear, on disk and under its name: nothing is half written.

- Steps: ``disk`` (durable writes and renames), ``folders`` (folders that are held open), ``paths`` (names next to a
  kit, and the check that a run writes nowhere where it reads), ``secret_files``, ``scratch`` (files and SQLite of one
  run).
- A run: ``job`` (its folder), ``journal`` (what it has done) and ``spool`` (the frames it has finished).
- The end: ``switch`` (what is to get which name) and ``commit`` (the only place where a kit's name changes).
"""
