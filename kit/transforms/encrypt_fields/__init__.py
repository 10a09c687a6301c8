"""The transform ``encrypt-fields``: mapped plaintext becomes envelopes (schemas/field-map.md, schemas/envelope.md)."""

from kit.transforms.encrypt_fields.transform import NAME, OUTCOMES, VERSION, EncryptFields

__all__ = ["NAME", "OUTCOMES", "VERSION", "EncryptFields"]
