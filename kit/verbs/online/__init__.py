"""``kit export-changes``: ``export`` makes the folder, ``records`` its lines, and ``changes.js`` applies them."""
