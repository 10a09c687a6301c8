"""``kit extract``: ``extract`` writes the files, ``documents`` is what a worker does with one run."""
