"""The error tree: one class per thing a caller would handle differently.

::

    KitError
    ├── UnreadableError            not found, no permission, the medium failed
    │   └── NotFoundError          what was asked for is not in the kit
    ├── DigestError                bytes differ from the manifest; closed world broken
    ├── UnsignedError              no signature where one is required
    ├── UntrustedError             signed, but by no key that is trusted for that role
    ├── SignatureError             a signature that does not verify or is malformed
    │   └── EnvelopeError          an encrypted value that does not open, is malformed or not where it belongs
    ├── StaleError                 too old, expired or not valid yet at the given time
    ├── RollbackError              older than what was accepted before, or different from it
    ├── WrongBaseError             a delta is for another kit than the one it is applied to
    ├── ArchiveError               container, codec or member name malformed, unknown or hostile
    │   └── LimitError             a declared or actual size is over a limit
    ├── ContentError               BSON, JSON, schema or coverage not as required
    │   ├── BsonError              bytes that are not one well-formed BSON document
    │   └── ManifestError          not exactly one understood manifest
    ├── StoppedError               a stop rule ended the run; nothing was written
    ├── KeyUnusableError           a key file is missing, unreadable, of a refused kind, or exposed
    ├── UsageError                 options that contradict each other
    ├── OutputError                the result could not be written; the kit is untouched
    └── InterruptedRunError        a signal ended the run; the kit is untouched

Laws: every failure of this package is a ``KitError``; foreign exceptions are wrapped at the edge where they arise;
an error never exits the process (``kit.cli`` maps classes to exit codes, in one table). New subclasses are additive.
"""

from __future__ import annotations

from typing import Self


class KitError(Exception):
    """Base of all errors: where it happened, what is wrong, what to do about it.

    Attributes:
        what: One line, no trailing full stop, for the person who must act.
        where: The file, member, offset or document concerned, outermost first (``kit.tar.zst: a/b.bson: document 7``).
        hint: The command or step that helps, if there is one.
        also: Further errors found at the same time, each with its own hint.
    """

    def __init__(self, what: str, *, where: str = "", hint: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.hint = hint
        self.also: tuple[KitError, ...] = ()

    def inside(self, where: str) -> Self:
        """Return this error with an outer place in front of its own, for ``raise error.inside(path)``."""
        self.where = f"{where}: {self.where}" if self.where else where
        return self

    def __str__(self) -> str:
        return f"{self.where}: {self.what}" if self.where else self.what

    def __reduce__(self) -> tuple[object, ...]:
        # Errors cross process borders; the default would call __init__ without the keyword-only parts.
        return (_rebuild, (type(self), self.what, self.where, self.hint))


def _rebuild(kind: type[KitError], what: str, where: str, hint: str) -> KitError:
    return kind(what, where=where, hint=hint)


class UnreadableError(KitError):
    """An input does not exist or cannot be read."""


class NotFoundError(UnreadableError):
    """A document, advisory or member that was asked for is not in the kit."""


class DigestError(KitError):
    """Bytes differ from what the manifest lists, a listed member is absent, or a member is not listed."""


class UnsignedError(KitError):
    """A signature is required and there is none."""


class UntrustedError(KitError):
    """A signature is present, but not by a key that is trusted for this purpose."""


class SignatureError(KitError):
    """A signature is malformed, of a refused kind, or does not verify over the exact bytes."""


class EnvelopeError(SignatureError):
    """An envelope is malformed, does not authenticate, or belongs to another place (schemas/envelope.md)."""


class StaleError(KitError):
    """A kit is older than its window allows, or a key or policy is outside its validity (TUF: indefinite freeze)."""


class RollbackError(KitError):
    """A kit or policy is older than one accepted before, or has the same number and other bytes (TUF: rollback)."""


class WrongBaseError(KitError):
    """A delta is for another base; the message names both generations and digests."""


class ArchiveError(KitError):
    """A container, compressed stream, or member name is malformed, ambiguous or hostile."""


class LimitError(ArchiveError):
    """A size, count, depth or ratio is over a limit; the message names limit, value and the flag that raises it."""


class ContentError(KitError):
    """Content is not what its format or the request requires."""


class BsonError(ContentError):
    """Bytes are not one well-formed document: BSON (https://bsonspec.org/spec.html), or the strict JSON of one."""


class ManifestError(ContentError):
    """There is not exactly one manifest, or it is not one of the shapes in schemas/offline-manifest.md."""


class StoppedError(KitError):
    """A stop rule ended the run before anything was written."""


class KeyUnusableError(KitError):
    """A key is missing, cannot be read, is of a kind that is refused, or is readable by others."""


class UsageError(KitError):
    """Options or arguments contradict each other."""


class OutputError(KitError):
    """The result could not be written or failed its verification; the input is untouched."""


class InterruptedRunError(KitError):
    """The user or the system asked the run to stop; the input is untouched."""
