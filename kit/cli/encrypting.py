"""The options of ``encrypt-fields``, and what they make."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from kit.cli.options import FILE, ask_passphrase, read_file
from kit.encryption import SHIPPED, Credentials, FieldMap, Profile, RandomIv, SyntheticIv, shipped
from kit.encryption.key_set import KeySet
from kit.errors import UsageError
from kit.ops.keying import Keying
from kit.transforms.encrypt_fields import EncryptFields
from kit.values import CollectionName, Timestamp

_NO_KEYS = KeySet(scopes={}, opening={}, sealing={}, mek_versions=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class EncryptOptions:
    """What the command line says of an encryption."""

    field_map: str | None
    keyring: Path | None
    profile: str
    iv: str
    reference: Path | None
    reference_collection: str | None
    credentials: Credentials

    def transform(self, tenants: tuple[str, ...], *, stop_at_errors: bool) -> EncryptFields:
        """Make the transform, still without keys.

        Raises:
            UsageError: No field map is named.
            ContentError: The field map is refused.
        """
        if self.field_map is None:
            raise UsageError("encrypt-fields needs --field-map", hint=f"a file, or one of {', '.join(SHIPPED)}")
        return EncryptFields(
            field_map=field_map(self.field_map),
            profile=Profile[self.profile.upper()],
            keys=_NO_KEYS,
            iv=RandomIv(os.urandom) if self.iv == "random" else SyntheticIv(),
            partitions=frozenset(tenants) or None,
            stop_at_errors=stop_at_errors,
        )

    def keying(self, now: Timestamp) -> Keying:
        """Say which keyring, and what opens it.

        Raises:
            UsageError: The reference document and its collection are not both named.
        """
        reference = None
        if (self.reference is None) != (self.reference_collection is None):
            raise click.UsageError("--reference and --reference-collection go together")
        if self.reference is not None and self.reference_collection is not None:
            database, _, collection = self.reference_collection.partition(".")
            reference = (CollectionName(database=database, collection=collection), read_file(self.reference))
        return Keying(
            random=os.urandom, now=now, keyring=self.keyring, credentials=self.credentials, reference=reference
        )


def field_map(name: str) -> FieldMap:
    """Load a field map: a shipped one by its name, else a file.

    Raises:
        UnreadableError: There is no such file.
        ContentError: It is refused.
    """
    return shipped(name) if name in SHIPPED else FieldMap.parse(read_file(Path(name)), where=name)


def field_map_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """--field-map."""
    return click.option(
        "--field-map", metavar="MAP", help=f"Which fields are encrypted: a file, or {' or '.join(SHIPPED)}."
    )(command)


def credential_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """What opens a keyring."""
    for option in reversed(
        (
            click.option("--keyring", type=FILE, metavar="FILE", help="The keyring (kit keyring init)."),
            click.option(
                "--keyring-passphrase-fd",
                type=int,
                metavar="N",
                help="Read the keyring's passphrase from this descriptor; asked at the terminal otherwise.",
            ),
            click.option("--keyring-key", type=FILE, metavar="PEM", help="RSA private key that opens the keyring."),
            click.option(
                "--age-identity", "age_identities", type=FILE, multiple=True, metavar="FILE", help="age identity file."
            ),
        )
    ):
        command = option(command)
    return command


def encrypt_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Everything that encrypt-fields takes."""
    for option in reversed(
        (
            field_map_option,
            credential_options,
            click.option(
                "--profile",
                type=click.Choice([profile.name.lower() for profile in Profile]),
                default=Profile.BOUND.name.lower(),
                show_default=True,
                help="Envelopes bound to their place, or those the platform's own reader opens.",
            ),
            click.option(
                "--iv",
                type=click.Choice(("synthetic", "random")),
                default="synthetic",
                show_default=True,
                help="Synthetic: the same plaintext in the same place gives the same bytes.",
            ),
            click.option(
                "--reference", type=FILE, metavar="BSON", help="A document of the live writer, which must open."
            ),
            click.option("--reference-collection", metavar="DB.COLLECTION", help="Where that document is from."),
        )
    ):
        command = option(command)
    return command


def taken(what: dict[str, Any]) -> EncryptOptions:
    """Take the options of :func:`encrypt_options` out of what click hands over."""
    return EncryptOptions(
        credentials=credentials(
            what.pop("keyring_passphrase_fd"), what.pop("keyring_key"), what.pop("age_identities"), what["keyring"]
        ),
        **{
            name: what.pop(name)
            for name in ("field_map", "keyring", "profile", "iv", "reference", "reference_collection")
        },
    )


def credentials(
    passphrase_fd: int | None, key: Path | None, age_identities: tuple[Path, ...], keyring: Path | None
) -> Credentials:
    """Gather what opens a keyring; passphrases are only asked for when they are needed.

    Raises:
        UnreadableError: A file is not there.
    """
    lines = [line.strip() for path in age_identities for line in read_file(path).decode(errors="replace").splitlines()]
    return Credentials(
        passphrase=lambda version: ask_passphrase(
            f"{keyring or 'keyring'} (master key {version})", passphrase_fd, option="--keyring-passphrase-fd"
        ),
        rsa_private_key=read_file(key) if key is not None else None,
        rsa_passphrase=lambda: ask_passphrase(str(key), None),
        age_identities=tuple(line for line in lines if line and not line.startswith("#")),
    )
