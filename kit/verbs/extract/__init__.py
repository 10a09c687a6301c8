"""``kit extract``: ``extract`` reads the kit and writes the files, ``documents`` is the work of a worker on one run."""
