"""Deterministic writing: the destinations ``tar`` and ``folder``, and ``copies`` of entire kits."""
