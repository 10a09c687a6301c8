"""What leads from one kit to another, as small as it can be said: format ``kit-delta``, schemas/kit-delta.md.

Pure: values, bytes and iterators of bytes. :mod:`model` is the signed list of what a delta holds; :mod:`segment` turns
documents into less than documents where the other side has their older selves; :mod:`prefix` does the same to any
other bytes. Laws: what is encoded is decoded before it is given out; a decoder believes no size it has not bounded,
and whatever its bytes are, ends in a result or a ``KitError``. Stops at bytes: digests, files and trust are for
:mod:`kit.ops`.
"""
