"""The verbs: each returns a frozen report and prints nothing.

A verb that is more than a module is a room: ``verify``, ``patch`` (and plan), ``delta``, ``diff``, ``prove``,
``extract``, ``selftest``. The others are modules: ``inspect``, ``find``, ``members`` (ls and cat), ``rollback``,
``recover``, ``approval``, ``trust``. ``run`` and ``jobs`` are what resumable verbs share.

They are not directly below :mod:`kit`, since its names ``verify``, ``patch`` … are functions of the public API.
"""
