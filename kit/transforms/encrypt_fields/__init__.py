"""The transform ``encrypt-fields``: mapped plaintext becomes envelopes (schemas/field-map.md, schemas/envelope.md)."""

from kit.transforms.encrypt_fields.transform import NAME, OUTCOMES, VERSION, EncryptFields, check_order

__all__ = ["NAME", "OUTCOMES", "VERSION", "EncryptFields", "check_order"]
