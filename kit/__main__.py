"""``python -m kit``: the command line, where the script ``kit`` is not on the path."""

from kit.cli import main

if __name__ == "__main__":  # workers import this module under another name
    main()
