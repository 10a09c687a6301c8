"""Changes of the schema of a collection, each a transform: schemas/reshape.md.

A module for each kind of change: ``additive`` (a default, a required field), ``mapping`` (values of an enumeration, ids
of owners and workspaces), ``rename`` (copied, then removed), ``projecting`` (a new collection). ``scope`` is what they
share, ``values`` reads typed values, ``metadata`` edits a validator, ``kinds`` reads them from migrations.
"""
