"""The options that open a keyring. The code that opens it is loaded only if one of them is given."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import click

from kit.cli.options import FILE
from kit.cli.places import KEYRING

if TYPE_CHECKING:
    from kit.encryption import KeySet

_NAMES = ("keyring", "keyring_passphrase_fd", "keyring_key", "age_identities", "pkcs11_module", "pkcs11_pin_fd")


def credential_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that open a keyring."""
    for option in reversed(
        (
            click.option("--keyring", type=KEYRING, metavar="FILE", help="The keyring (kit keyring init)."),
            click.option(
                "--keyring-passphrase-fd",
                type=int,
                metavar="N",
                help="Read the keyring's passphrase from this file descriptor. Default: ask at the terminal.",
            ),
            click.option("--keyring-key", type=FILE, metavar="PEM", help="RSA private key that opens the keyring."),
            click.option(
                "--age-identity",
                "age_identities",
                type=FILE,
                multiple=True,
                metavar="FILE",
                help="age identity file that opens the keyring. Repeatable.",
            ),
            token_options,
        )
    ):
        command = option(command)
    return command


def token_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that open a PKCS#11 token."""
    for option in reversed(
        (
            click.option(
                "--pkcs11-module",
                type=FILE,
                metavar="PATH",
                help="Library of the token that holds the master key. Its code is run.",
            ),
            click.option(
                "--pkcs11-pin-fd",
                type=int,
                metavar="N",
                help="Read the token's PIN from this file descriptor. Default: ask at the terminal.",
            ),
        )
    ):
        command = option(command)
    return command


def has_credentials(what: Mapping[str, Any]) -> bool:
    """Return whether any of the options of :func:`credential_options` is given."""
    return any(what[name] not in {None, ()} for name in _NAMES)


def take_keys(what: dict[str, Any]) -> KeySet | None:
    """Take the options of :func:`credential_options` and return the keys of the keyring; None without a keyring.

    Raises:
        KeyUnusableError: Others can read the keyring, or it does not open.
        UnreadableError: A file does not exist.
    """
    if not has_credentials(what):
        for name in _NAMES:
            del what[name]
        return None
    from kit.cli.encrypting import take_keys

    return take_keys(what)
