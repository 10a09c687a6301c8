"""Options of ``encrypt-fields`` and of the proof of mapped fields, and their values.

The options that open a keyring. The code that opens it is loaded only if one of them is given.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kit.cli.options import FIELD_MAPS, FILE, PROFILES, ask_passphrase, read_file
from kit.cli.paths import FIELD_MAP_OR_NAME, KEYRING
from kit.cli.places import SECRET_LINE, SecretSource
from kit.errors import UsageError
from kit.values import CollectionName, CollectionPattern, Timestamp

if TYPE_CHECKING:
    from kit.encryption import Credentials, FieldMap, KeySet
    from kit.transforms.encrypt_fields import EncryptFields
    from kit.verbs.patch.request import Keying
    from kit.verbs.verify.field_proof import FieldExpectation

_NAMES = ("keyring", "keyring_passphrase_fd", "keyring_key", "age_identities", "pkcs11_module", "pkcs11_pin_fd")


def credential_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that open a keyring."""
    for option in reversed(
        (
            click.option("--keyring", type=KEYRING, metavar="FILE", help="The keyring (kit keyring init)."),
            click.option(
                "--keyring-passphrase-fd",
                type=SECRET_LINE,
                metavar="N",
                help="Read the keyring's passphrase from this file descriptor, or from env:NAME. Default: ask at the "
                "terminal.",
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
                type=SECRET_LINE,
                metavar="N",
                help="Read the token's PIN from this file descriptor, or from env:NAME. Default: ask at the terminal.",
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

    return take_given_keys(what)


_MAX_CANARY_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class EncryptOptions:
    """The options of an encryption."""

    field_map: str | None
    keyring: Path | None
    profile: str
    iv: str
    rekeyed: tuple[str, ...]
    reference: Path | None
    reference_collection: str | None
    credentials: Credentials

    def transform(self, tenants: frozenset[str] | None) -> EncryptFields:
        """Return the transform, still without keys.

        Raises:
            UsageError: No field map is named.
            ContentError: The field map is refused.
        """
        from kit.encryption import SHIPPED, Profile, RandomIv, SyntheticIv
        from kit.transforms.encrypt_fields import EncryptFields

        if self.field_map is None:
            raise UsageError("encrypt-fields needs --field-map", hint=f"name a file, or one of {', '.join(SHIPPED)}")
        return EncryptFields(
            field_map=load_field_map(self.field_map),
            profile=Profile[self.profile.upper()],
            iv=RandomIv(os.urandom) if self.iv == "random" else SyntheticIv(),
            partitions=tenants,
            rekeyed=frozenset(self.rekeyed),
        )

    def keying(self, now: Timestamp) -> Keying:
        """Return the keyring and the credentials that open it.

        Raises:
            UsageError: The reference document and its collection are not both named.
        """
        from kit.verbs.patch.request import Keying

        reference = None
        if (self.reference is None) != (self.reference_collection is None):
            raise click.UsageError("--reference and --reference-collection need each other")
        if self.reference is not None and self.reference_collection is not None:
            database, _, collection = self.reference_collection.partition(".")
            reference = (CollectionName(database=database, collection=collection), read_file(self.reference))
        return Keying(
            random=os.urandom, now=now, keyring=self.keyring, credentials=self.credentials, reference=reference
        )


def load_field_map(name: str) -> FieldMap:
    """Load a field map: a shipped one by its name, else a file.

    Raises:
        UnreadableError: The file does not exist.
        ContentError: It is refused.
    """
    from kit.encryption import SHIPPED, FieldMap, shipped

    return shipped(name) if name in SHIPPED else FieldMap.parse(read_file(Path(name)), where=name)


def field_map_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--field-map``."""
    return click.option(
        "--field-map",
        type=FIELD_MAP_OR_NAME,
        metavar="MAP",
        help=f"The map of encrypted fields: a file, or one of {', '.join(FIELD_MAPS)}.",
    )(command)


def profile_option(help_text: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Add ``--profile`` with this help."""
    return click.option(
        "--profile",
        type=click.Choice(PROFILES),
        default="bound",
        show_default=True,
        help=help_text,
    )


_profile_option = profile_option(
    "bound: envelopes are bound to their place. compat: the platform's own reader opens them. "
    "csfle: drivers of MongoDB open them; they are bound to no place."
)


def rekey_option(help_text: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Add ``--rekey`` with this help."""
    return click.option("--rekey", "rekeyed", multiple=True, metavar="DEK-ID", help=help_text)


def encrypt_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of encrypt-fields."""
    for option in reversed(
        (
            field_map_option,
            credential_options,
            _profile_option,
            click.option(
                "--iv",
                type=click.Choice(("synthetic", "random")),
                default="synthetic",
                show_default=True,
                help="synthetic: equal plaintext in the same place gives equal bytes; in csfle, wherever it is.",
            ),
            rekey_option("Seal values under this data key again, under new ones; it is retired. Repeatable."),
            click.option(
                "--reference", type=FILE, metavar="BSON", help="A document from the live writer, which must decrypt."
            ),
            click.option("--reference-collection", metavar="DB.COLLECTION", help="The collection of that document."),
        )
    ):
        command = option(command)
    return command


def proof_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of the proof of mapped fields."""
    for option in reversed(
        (
            field_map_option,
            click.option(
                "--collection",
                "collections",
                multiple=True,
                metavar="NAME",
                help="Check the fields of this collection only: COLLECTION, in any database, or DB.COLLECTION."
                " Repeatable.",
            ),
            credential_options,
            _profile_option,
            rekey_option("A data key that the last step replaced: nothing may be left under it. Repeatable."),
            click.option(
                "--canary",
                "canaries",
                multiple=True,
                metavar="TEXT",
                help="Known plaintext that must not appear outside the mapped fields. Repeatable. Other users of this"
                " host can see it: use --canary-file for secrets.",
            ),
            click.option(
                "--canary-file",
                "canary_files",
                type=FILE,
                multiple=True,
                metavar="FILE",
                help="The same from a file with mode 0600, one per line. Repeatable.",
            ),
            click.option(
                "--canary-everywhere", is_flag=True, help="Search collections that the map does not name, too."
            ),
            click.option(
                "--most-copies",
                type=click.IntRange(min=0),
                metavar="N",
                help="Refuse a kit with more than N copies of sealed values in the clear. Needs --deep and --keyring.",
            ),
        )
    ):
        command = option(command)
    return command


def take_field_expectation(
    what: dict[str, Any], tenants: tuple[str, ...], *, is_deep: bool = False
) -> FieldExpectation | None:
    """Take the options of :func:`proof_options` and open the keyring; return None without a field map.

    Raises:
        UsageError: Options need a field map and there is none, or a canary is empty.
        ContentError: The field map is refused.
        KeyUnusableError: Others can read the keyring or a file of canaries, or it does not open.
    """
    collections = frozenset(CollectionPattern.parse(name) for name in what["collections"])
    if what["field_map"] is None and collections:
        raise click.UsageError("--collection needs --field-map")
    if what["field_map"] is None and not (
        has_credentials(what)
        or what["canaries"]
        or what["canary_files"]
        or what["canary_everywhere"]
        or what["rekeyed"]
        or what["most_copies"] is not None
    ):
        return None
    from kit.encryption import Profile
    from kit.verbs.verify.field_proof import FieldExpectation

    keyring, name = what["keyring"], what["field_map"]
    canaries = [*(text.encode() for text in what["canaries"]), *_read_lines(what["canary_files"])]
    known = take_credentials(what, keyring)
    if name is None:
        if keyring is not None or canaries or what["canary_everywhere"] or what["rekeyed"]:
            raise UsageError("--keyring, --rekey, --canary, --canary-file and --canary-everywhere need --field-map")
        if what["most_copies"] is not None:
            raise UsageError("--most-copies needs --field-map")
        return None
    if what["most_copies"] is not None and (keyring is None or not is_deep):
        raise UsageError("--most-copies needs --deep and --keyring: copies are searched for by what the keys open")
    if what["rekeyed"] and keyring is None:
        raise UsageError("--rekey needs --keyring: without keys only the form of envelopes is checked")
    field_map = load_field_map(name)
    return FieldExpectation(
        field_map=field_map.narrowed(collections) if collections else field_map,
        profile=Profile[what["profile"].upper()],
        keys=_unlock(keyring, known),
        tenants=frozenset(tenants) or None,
        replaced=frozenset(what["rekeyed"]),
        canaries=tuple(canaries),
        canaries_everywhere=what["canary_everywhere"],
        most_copies=what["most_copies"],
    )


def _read_lines(files: tuple[Path, ...]) -> list[bytes]:
    """Read canaries, one per line, from files that nobody else can read."""
    from kit.output import secret_files

    lines: list[bytes] = []
    for path in files:
        data = secret_files.read(path, what="file of canaries", largest=_MAX_CANARY_BYTES, secret=True)
        lines += [line.removesuffix(b"\r") for line in data.removesuffix(b"\n").split(b"\n")]
    return lines


def take_given_keys(what: dict[str, Any]) -> KeySet | None:
    """Take the options that open a keyring (:mod:`kit.cli.encryption_options`) and return its keys; None without one.

    Raises:
        KeyUnusableError: Others can read the keyring, or it does not open.
        UnreadableError: A file does not exist.
    """
    keyring: Path | None = what.pop("keyring")
    return _unlock(keyring, take_credentials(what, keyring))


def _unlock(keyring: Path | None, known: Credentials) -> KeySet | None:
    from kit.encryption import load, unlock

    return unlock(load(keyring).keyring, known, where=str(keyring)).key_set() if keyring is not None else None


def take_encrypt_options(what: dict[str, Any]) -> EncryptOptions:
    """Take the options of :func:`encrypt_options` out of ``what``."""
    return EncryptOptions(
        credentials=take_credentials(what, what["keyring"]),
        **{
            name: what.pop(name)
            for name in ("field_map", "keyring", "profile", "iv", "rekeyed", "reference", "reference_collection")
        },
    )


def take_credentials(what: dict[str, Any], keyring: Path | None) -> Credentials:
    """Take the options that open a keyring, except the keyring; passphrases are asked only when needed.

    Raises:
        UnreadableError: A file does not exist.
    """
    from kit.encryption import Credentials

    passphrase_fd: int | SecretSource | None = what.pop("keyring_passphrase_fd")
    key: Path | None = what.pop("keyring_key")
    identities: tuple[Path, ...] = what.pop("age_identities")
    lines = [line.strip() for path in identities for line in read_file(path).decode(errors="replace").splitlines()]
    token = take_token_credentials(what)

    # Cached: a preflight opens the keyring before the run does. A person is asked once, and a descriptor has one line.
    @functools.cache
    def passphrase(version: int) -> bytes:
        asked = f"{keyring or 'keyring'} (master key {version})"
        return ask_passphrase(asked, passphrase_fd, option="--keyring-passphrase-fd")

    @functools.cache
    def rsa_passphrase() -> bytes:
        return ask_passphrase(str(key), None)

    return Credentials(
        passphrase=passphrase,
        rsa_private_key=read_file(key) if key is not None else None,
        rsa_passphrase=rsa_passphrase,
        age_identities=tuple(line for line in lines if line and not line.startswith("#")),
        pkcs11_module=token.pkcs11_module,
        pkcs11_pin=token.pkcs11_pin,
    )


def take_token_credentials(what: dict[str, Any]) -> Credentials:
    """Take the options of a token; its PIN is asked once, and only when needed."""
    from kit.encryption import Credentials

    module: Path | None = what.pop("pkcs11_module")
    pin_fd: int | SecretSource | None = what.pop("pkcs11_pin_fd")

    # Cached: a rewrap logs in twice. A wrong PIN ends the command, so it is never presented to the token again.
    @functools.cache
    def pin(label: str) -> bytes:
        return ask_passphrase(f"token {label}", pin_fd, option="--pkcs11-pin-fd", kind="PIN")

    # The loader searches a name without a slash in the system's folders, not in the working folder.
    return Credentials(pkcs11_module=module.absolute() if module is not None else None, pkcs11_pin=pin)
