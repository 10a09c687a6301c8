"""Patches, verifies and inspects signed Offline Kits without a database or a network."""
