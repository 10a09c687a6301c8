"""``kit verify``: is this kit what its signers signed? Other verbs open and judge a kit here, too.

- The entrance: ``kits`` opens a kit with what is next to it, ``verify`` judges it and lists its generations.
- Obligations (schemas/verify-report.md): ``obligations`` goes through them in order, ``ends`` is how one ends,
  ``judgement`` the outcome. ``signers`` has 3, 4 and the signatures of 6, ``deep`` and ``field_proof`` 7 and 8.
- Evidence: ``appending`` and ``sealing`` (what the last steps changed), ``gaps`` (why a projection is missing),
  ``receipt`` (a signed receipt and ``verify.sh``).
"""
