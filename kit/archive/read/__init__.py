"""Strict reading: members of a tar stream or a folder, and an error for what is cut, hidden, doubled or not understood.

- The entrance: ``reader`` opens a kit, whatever holds it.
- Bytes: ``codecs`` with ``gzip`` and ``zstd``.
- Members: ``tar`` (and where its frames are), ``headers``, ``pax`` (records in front of a header), ``folder``,
  ``names`` (what a file system would merge, follow or replace).
"""
