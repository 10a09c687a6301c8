"""``kit diff``: what differs between two kits: advisories, documents, members.

- Pure: ``fields`` compares one pair of documents; ``documents`` sketches documents and compares pairs in workers.
- On disk: ``collation`` finds which documents are the same, ``comparing`` makes the passes, ``diff`` the report.
"""
