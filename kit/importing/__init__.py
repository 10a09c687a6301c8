"""Whether a MongoDB server takes the documents of a collection: schemas/importing.md.

- ``values`` decodes a document with the type of each value, and compares values as a server does;
- ``schema`` evaluates ``$jsonSchema``;
- ``indexes`` makes the keys of unique indexes;
- ``metadata`` reads what ``<collection>.metadata.json`` demands, and the names of database and collection;
- ``scanning`` looks at a run.

Laws: what is refused here, a server that keeps to its manual refuses; what is not evaluated is listed as not checked;
a message has names, types and rules, and no value of a document but its ``_id``.
"""
