"""``kit verify``: checks that a kit is what its signers signed. Every verb opens and judges a kit here.

- Entry points: ``kits`` opens a kit with workers, ``judged`` reads and judges it once for any verb, ``verify`` is the
  verb and lists the generations.
- Obligations (schemas/verify-report.md): ``obligations`` checks them in order, ``ends`` decides how one ends,
  ``judgement`` has the values. ``signers`` checks 3, 4 and the signatures of 6, ``deep`` and ``field_proof`` 7 and 8.
- Evidence: ``appending`` and ``sealing`` (what the last steps changed), ``gaps`` (why a projection is missing),
  ``receipt`` (a signed receipt and ``verify.sh``).
"""
