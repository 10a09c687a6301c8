"""PKCS#11 tokens: their sessions, and the URIs of the keys in them."""
