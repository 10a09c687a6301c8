"""Reports of the verbs as JSON and as text, both from the same frozen report; nothing here prints or decides."""
