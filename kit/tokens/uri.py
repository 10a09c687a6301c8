"""URIs of keys in PKCS#11 tokens (RFC 7512): ``pkcs11:token=site;object=signer?module-path=/usr/lib/token.so``.

Laws: an attribute that is not known is refused, since it may be what distinguishes two keys; a PIN is never part of a
URI, since others can see command lines.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self
from urllib.parse import unquote_to_bytes

from kit.errors import UsageError

SCHEME: Final = "pkcs11:"
_PATH: Final = ("token", "object", "id", "type")
_QUERY: Final = ("module-path", "pin-source")
_HEX: Final = frozenset("0123456789abcdefABCDEF")
_EXAMPLE: Final = "pkcs11:token=LABEL;object=KEY?module-path=/PATH"


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenUri:
    """Where a key is.

    Attributes:
        token: The label of the token.
        label: CKA_LABEL of the key; None if the id alone names it.
        key_id: CKA_ID of the key; None if the label alone names it.
        module: The library of the token's vendor, an absolute path.
        pin_source: ``env:NAME`` or ``fd:N``; None to ask for the PIN.
    """

    token: str
    label: str | None
    key_id: bytes | None
    module: Path
    pin_source: str | None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the place that a URI names.

        Raises:
            UsageError: It is malformed, has an unknown attribute or a PIN, or does not name token, key and module.
        """
        if not text.startswith(SCHEME):
            raise UsageError(f"a URI of a key in a token begins with {SCHEME}", hint=_EXAMPLE)
        found = _read(text.removeprefix(SCHEME))
        if found.get("type", b"private") not in {b"private", b"public"}:
            raise UsageError(f"{SCHEME} names what is no key that signs: type is not private")
        module = Path(_text(found.get("module-path", b""), "module-path"))
        label = _text(found["object"], "object") if "object" in found else None
        source = _text(found["pin-source"], "pin-source") if "pin-source" in found else None
        if not found.get("token") or not (label or found.get("id")):
            raise UsageError(f"{SCHEME} must name the token, and the key by object, id or both", hint=_EXAMPLE)
        if not module.is_absolute():
            raise UsageError(f"{SCHEME} must name the token's library by an absolute module-path", hint=_EXAMPLE)
        if source is not None and not _is_source(source):
            raise UsageError(f"{SCHEME} pin-source is neither env:NAME nor fd:N with a number N")
        return cls(
            token=_text(found["token"], "token"),
            label=label,
            key_id=found.get("id"),
            module=module,
            pin_source=source,
        )

    def __str__(self) -> str:
        names = [f"token {self.token!r}"]
        names += [f"key {self.label!r}"] if self.label is not None else []
        names += [f"id {self.key_id.hex()}"] if self.key_id is not None else []
        return ", ".join(names)


def _read(rest: str) -> dict[str, bytes]:
    path, _, query = rest.partition("?")
    found: dict[str, bytes] = {}
    for known, part, separator in ((_PATH, path, ";"), (_QUERY, query, "&")):
        for name, value in _attributes(part, separator):
            if name == "pin-value":
                raise UsageError(
                    "a URI with a PIN is refused: others can see command lines", hint="pin-source=env:NAME"
                )
            if name not in known:
                raise UsageError(f"{SCHEME} has an attribute {name[:40]!r}, which is not known", hint=_EXAMPLE)
            if name in found:
                raise UsageError(f"{SCHEME} has the attribute {name!r} twice")
            found[name] = value
    return found


def _attributes(part: str, separator: str) -> Iterator[tuple[str, bytes]]:
    for attribute in part.split(separator) if part else ():
        name, equals, value = attribute.partition("=")
        if not equals or not name:
            raise UsageError(f"{SCHEME} has an attribute without a value", hint=_EXAMPLE)
        yield name, _bytes(name, value)


def _bytes(name: str, value: str) -> bytes:
    """Return the bytes of a percent-encoded value (RFC 3986 2.1)."""
    if any(len(digits) < 2 or not set(digits[:2]) <= _HEX for digits in value.split("%")[1:]):
        raise UsageError(f"{SCHEME} attribute {name[:40]!r} has a % without two hex digits")
    return unquote_to_bytes(value)


def _text(data: bytes, name: str) -> str:
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(f"{SCHEME} attribute {name!r} is not UTF-8") from error
    if "\0" in text:
        raise UsageError(f"{SCHEME} attribute {name!r} has a NUL")
    return text


def _is_source(source: str) -> bool:
    scheme, _, name = source.partition(":")
    return bool(name) and (scheme == "env" or (scheme == "fd" and name.isascii() and name.isdigit()))
