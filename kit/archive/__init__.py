"""Containers: what is known of them for reading (``read``) and writing (``write``) alike is right here.

- ``frames``: compressed output as independent frames, and their form.
- ``source``: the port through which archives are read, and chunks of what comes from it.
"""
