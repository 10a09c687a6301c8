"""Containers: reading (``read``), writing (``write``), and what both need.

- ``frames``: compressed output as independent frames, and the form of such a frame.
- ``source``: the port through which archives are read, and readers over the chunks that come from it.
"""
