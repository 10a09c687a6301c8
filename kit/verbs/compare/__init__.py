"""``kit compare``: whether a dump or a database holds exactly the documents of a signed kit."""
