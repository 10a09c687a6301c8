"""How much work is done, where, and in which order: surveys, rewrites, workers and their lookups on disk."""
