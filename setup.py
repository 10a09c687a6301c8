"""Builds the parts that are worth compiling, when asked to: KIT_COMPILE=1 (scripts/compile does).

The sources stay Python and run as they are; mypyc makes machine code of the same files, faster where a
document is looked into. A wheel built without it is pure and runs anywhere. Everything else is in pyproject.toml.
"""

import os
import sys

from setuptools import setup

# No values that cross process borders are defined in these: frozen dataclasses of mypyc do not unpickle by themselves.
COMPILED = [
    "kit/delta/columns.py",
    "kit/delta/edits.py",
    "kit/delta/features.py",
    "kit/delta/picking.py",
    "kit/delta/shred.py",
    "kit/delta/varint.py",
    "kit/documents/elements.py",
    "kit/documents/framing.py",
    "kit/documents/identity.py",
    "kit/documents/kinds.py",
    "kit/documents/loops.py",
    "kit/documents/prune.py",
    "kit/documents/splice.py",
    "kit/encryption/aead.py",
    "kit/encryption/encoding.py",
    "kit/encryption/envelope.py",
    "kit/encryption/key_table.py",
    "kit/encryption/macs.py",
    "kit/encryption/mapped.py",
    "kit/encryption/opening.py",
    "kit/encryption/preparation.py",
    "kit/transforms/change.py",
    "kit/transforms/encrypt_fields/sealing.py",
]

extensions = []
if os.environ.get("KIT_COMPILE") == "1":
    from mypyc.build import mypycify

    extensions = mypycify(COMPILED, opt_level="3", debug_level="0")
    if sys.platform == "linux":
        # No other library may replace a function of this one, so that the compiler may put it where it is called
        # (gcc(1)): 5 % fewer instructions a document.
        for extension in extensions:
            extension.extra_compile_args.append("-fno-semantic-interposition")

setup(ext_modules=extensions)
