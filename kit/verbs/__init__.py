"""The verbs: each returns a frozen report and prints nothing.

A verb has the module of its name: ``inspect``, ``patch`` (and plan), ``verify``, ``rollback``, ``prove``, ``extract``,
``diff``, ``delta_build``, ``delta_apply``, ``delta_squash``, ``delta_verify``, ``recover``, ``approve``, ``trusting``,
``selftest``. The others are what several verbs do:

- Opening: ``kits`` opens a kit with what is next to it, ``trust_files`` a policy with its state.
- Judging (schemas/verify-report.md): ``judged`` is the front door, where a kit is read once and judged. ``obligations``
  goes through them in their order, ``judgement`` is the outcome. ``signers`` has 3, 4 and the signatures of 6, ``deep``
  and ``field_proof`` 7, ``gate`` 8. ``chain`` lists the generations, ``remedies`` what to do; ``receipts``,
  ``verify_script`` and ``merkle_proof`` are for others to check.
- A patch: ``patching`` (asked and reported), ``preflight``, ``keying``, ``judging`` (base and result), ``passes``,
  ``stopping``, ``rooting``, ``generation`` (what is signed). ``identity`` names the run.
- What can be resumed: ``run`` is the sequence that a patch, a delta and a rollback fill in, ``jobs`` what of it is on
  record.
- Deltas: ``deltas``, ``delta_steps`` and ``delta_recipe`` (what can be computed), ``delta_archive`` (a delta),
  ``delta_writing`` (its target).
- ``extracted_files``: what ``extract`` writes.
"""
