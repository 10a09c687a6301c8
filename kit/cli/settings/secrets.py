"""Signing keys that are in no file: read from the environment or a descriptor, or left in a PKCS#11 token.

Law: neither a secret nor a PIN is ever part of a message.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from kit.cli.places import SecretSource
from kit.errors import KeyUnusableError

if TYPE_CHECKING:
    from kit.signing import PrivateKey

_MAX_SECRET: Final = 64 * 1024


def read_secret(source: SecretSource, what: str) -> bytes:
    """Return the value of an environment variable, or all that a file descriptor gives; ``what`` it is, for messages.

    Raises:
        KeyUnusableError: There is no such variable or descriptor, or it is larger than any such secret.
    """
    where = str(source)
    if source.scheme == "env":
        text = os.environ.get(source.name)
        if not text:
            raise KeyUnusableError("there is no such environment variable, or it is empty", where=where)
        return os.fsencode(text)
    data = b""
    try:
        while (more := os.read(int(source.name), _MAX_SECRET)) and len(data) <= _MAX_SECRET:
            data += more
    except (OSError, OverflowError) as error:
        why = error.strerror if isinstance(error, OSError) else "no such descriptor"
        raise KeyUnusableError(f"cannot read {what}: {why}", where=where) from error
    if len(data) > _MAX_SECRET:
        raise KeyUnusableError(f"larger than {what} ({_MAX_SECRET:,} bytes)", where=where)
    return data


def load_token_key(
    uri: str, ask: Callable[[str, int | SecretSource | None], bytes], source: int | SecretSource | None
) -> PrivateKey:
    """Return the signing key that a URI names (RFC 7512).

    Args:
        uri: ``pkcs11:…``; its ``pin-source`` names a variable or a descriptor.
        ask: Returns the PIN: the next line of a descriptor, or asked at the terminal.
        source: Where the PIN is read from, if the URI does not name it.

    Raises:
        KeyUnusableError: The key is not there or refused, or the PIN is missing or wrong.
        UsageError: The URI is malformed.
    """
    from kit.signing.token_keys import load_token_key as load
    from kit.tokens.uri import TokenUri

    place = TokenUri.parse(uri)

    def pin(label: str) -> bytes:
        scheme, _, name = (place.pin_source or "").partition(":")
        if scheme == "env":
            return read_secret(SecretSource(scheme=scheme, name=name), "a PIN")
        return ask(f"token {label}", int(name) if scheme == "fd" else source)

    return load(place, pin)
