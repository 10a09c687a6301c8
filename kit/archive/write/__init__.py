"""Deterministic writing: ``tar`` and ``folder`` destinations, ``copies`` of whole kits."""
