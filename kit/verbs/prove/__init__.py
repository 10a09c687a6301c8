"""``kit prove``: ``prove`` makes and checks proofs, ``leaf_search`` finds the leaves, ``proof`` is the format."""
