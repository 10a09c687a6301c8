"""Strict reading: members of a tar stream or a folder; anything cut, hidden, doubled or not understood is an error.

- Entry point: ``reader`` opens a kit in any container.
- Bytes: ``codecs`` with ``gzip`` and ``zstd``; ``proven`` reads back an archive that was just written.
- Members: ``tar`` (and where its frames are), ``headers``, ``pax`` (records in front of a header), ``folder``,
  ``names`` (names and links that a file system would merge, follow or replace).
"""
