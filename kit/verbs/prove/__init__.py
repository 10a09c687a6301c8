"""``kit prove``: ``prove`` finds a document or its neighbours by ``leaf_search``; ``proof`` is what another checks."""
