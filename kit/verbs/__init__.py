"""The verbs: each returns a frozen report and prints nothing.

A verb that is more than a module is a room: ``verify``, ``patch`` (and plan), ``delta``, ``diff``, ``prove``,
``extract``, ``selftest``. The others are modules: ``inspect``, ``rollback``, ``recover``, ``approval``, ``trust``.
``run`` is what all share that can be resumed.

They are not directly below :mod:`kit`, whose own names ``verify``, ``patch`` … are the functions of the public API.
"""
