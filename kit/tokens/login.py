"""Sessions of PKCS#11 tokens, which sign and wrap with keys that stay there.

A process is logged in to a token in all its sessions or in none, so one login serves master keys and signing keys. The
package python-pkcs11 is an extra, and imported only for a key that needs it.

Laws: a wrong PIN is not presented again, since tokens lock themselves; neither PIN nor module is ever written; no
error holds a byte of what was passed.
"""

from __future__ import annotations

import hashlib
import importlib
import os
import weakref
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from kit.errors import KeyUnusableError

_REASONS: Final = {
    "PinIncorrect": ("wrong PIN", "a token locks itself after a few wrong ones"),
    "PinLocked": ("the PIN is locked", "the token's security officer can set a new one"),
    "PinExpired": ("the PIN has expired", "set a new one with the token's own tools"),
    "PinInvalid": ("the PIN has characters that the token does not accept", ""),
    "PinLenRange": ("the PIN is shorter or longer than the token accepts", ""),
    "UserPinNotInitialized": ("the token has no user PIN yet", "set one with the token's own tools"),
    "NoSuchToken": ("there is no such token", "check that it is plugged in, and that the module is its vendor's"),
    "MultipleTokensReturned": ("several tokens have this label", "unplug the others, or give them other labels"),
    "NoSuchKey": ("the token has no such key", "make one there first (docs/keys.md)"),
    "MultipleObjectsReturned": ("several keys of the token have this label", "name the key's id, too"),
}


class Login:
    """A logged-in session; closed, and so logged out, when nothing uses it any more."""

    __slots__ = ("__weakref__", "pkcs11", "session")

    def __init__(self, pkcs11: ModuleType, session: Any) -> None:
        self.pkcs11, self.session = pkcs11, session
        weakref.finalize(self, _close, session, os.getpid())

    def capabilities(self, mechanism: Any) -> int:
        """Return the flags of a mechanism; 0 if the token does not have it."""
        try:
            return int(self.session.token.slot.get_mechanism_info(mechanism).flags)
        except self.pkcs11.PKCS11Error:
            return 0


_LOGINS: weakref.WeakValueDictionary[tuple[str, str], Login] = weakref.WeakValueDictionary()
"""By module and token. Global, since logins are: a process is logged in to a token in all its sessions or in none, and
the first session to log out logs out the others (PKCS#11 2.40, 2.6 "Sessions")."""


_WRONG: Final[set[bytes]] = set()
"""Digests of module, token and PIN that a token refused; it locks itself after a few wrong ones."""


def login(module_path: Path, label: str, pin: Callable[[str], bytes] | None, where: str) -> Login:
    """Return the session of a token; a process logs in once, and a PIN is requested only for that.

    Args:
        module_path: The library of the token's vendor. Its code runs in this process.
        label: The label of the token.
        pin: Called with the label, after the token was found.
        where: What the key is for, for messages.

    Raises:
        KeyUnusableError: The package, the module or the token is missing, or the PIN is missing or wrong.
    """
    module = str(module_path)
    known = _LOGINS.get((module, label))
    if known is not None:
        return known
    pkcs11 = _package(where)
    try:
        library = pkcs11.lib(module)
    except (pkcs11.PKCS11Error, OSError) as error:
        raise KeyUnusableError(f"{module} is not a usable PKCS#11 module", where=where) from error
    presented = b""
    try:
        token = library.get_token(token_label=label)
        given = _ask(pin, label, where)
        presented = hashlib.sha256(f"{module}\0{label}\0{given}".encode()).digest()
        if presented in _WRONG:
            raise KeyUnusableError("wrong PIN; it is not presented to the token again", where=where)
        opened = Login(pkcs11, token.open(user_pin=given))
    except pkcs11.PKCS11Error as error:
        if type(error).__name__ == "PinIncorrect":
            _WRONG.add(presented)
        raise refusal(error, where) from error
    _LOGINS[module, label] = opened
    return opened


def _package(where: str) -> ModuleType:
    try:
        return importlib.import_module("pkcs11")
    except ImportError as error:
        raise KeyUnusableError(
            "keys in tokens need the package python-pkcs11", where=where, hint="pip install offline-kit[pkcs11]"
        ) from error


def _ask(pin: Callable[[str], bytes] | None, label: str, where: str) -> str:
    if pin is None:
        raise KeyUnusableError("the token needs a PIN, which cannot be requested here", where=where)
    try:
        text = pin(label).decode()
    except UnicodeDecodeError:
        text = ""
    if not text:  # not presented: it is wrong, and the token would count the attempt
        raise KeyUnusableError("the PIN is empty or not UTF-8", where=where) from None
    return text


def _close(session: Any, opened_by: int) -> None:
    # A forked worker has a copy of the session; closing it would log out the process that owns it.
    if os.getpid() == opened_by:
        session.close()


def refusal(error: Exception, where: str, *, doing: str = "the token refuses") -> KeyUnusableError:
    """Return an error of PKCS#11 as ours."""
    # Only the name of the class: it is PKCS#11's own code, and holds nothing of what was passed.
    name = type(error).__name__
    what, hint = _REASONS.get(name, (f"{doing} ({name})", ""))
    return KeyUnusableError(what, where=where, hint=hint)
