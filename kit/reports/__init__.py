"""Reports of the verbs as text, JSON and HTML, all from the same frozen report. Nothing here prints or decides."""
