"""One module a verb: each returns a frozen report and prints nothing."""
