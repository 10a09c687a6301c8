"""``kit keyring``: the data keys of a site, and those that it shares with the platform."""
