"""``kit diff``: what differs between two kits: advisories, documents, members.

- Pure: ``fields`` (of one pair of documents), ``documents`` (what is kept of one, and what a worker does with pairs).
- On disk: ``collation`` (which documents are the same), ``comparing`` (the passes), ``diff`` (the report).
"""
