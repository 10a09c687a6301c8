"""Transforms: pure functions over runs of documents, and what they share."""
