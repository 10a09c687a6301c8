"""Deltas between two kits, as small as they can be encoded: format ``kit-delta``, schemas/kit-delta.md.

Pure: values, bytes and iterators of bytes. :mod:`model` is the signed manifest of a delta. :mod:`segment` encodes
documents against their earlier versions in the base; :mod:`texts` makes them of JSON. :mod:`prefix` encodes any other
bytes against bytes of the base.
Laws: what is encoded is decoded again before it is returned; a decoder trusts no size it has not bounded, and ends in
a result or a ``KitError``, whatever its bytes are. Stops at bytes: digests, files and trust are for :mod:`kit.verbs`.
"""
