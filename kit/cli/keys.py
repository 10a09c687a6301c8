"""``kit keys``: generate and show signing keys.

``kit keyring``: create keyrings, add master keys, rewrap data keys, show both.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kit.cli.encryption_options import credential_options, take_credentials, take_token_credentials, token_options
from kit.cli.options import FILE, KINDS, MECHANISMS, ask_passphrase, has_terminal, json_option, read_file
from kit.cli.output import print_report
from kit.cli.paths import CHANGED_KEYRING, KEYRING, NEW_KEYS, Group
from kit.errors import KeyUnusableError, OutputError, UsageError
from kit.output.key_names import earlier_public_path, public_path
from kit.values import Timestamp

if TYPE_CHECKING:
    from kit.encryption.keyring import Keyring
    from kit.encryption.master_keys import MasterKeyRecord
    from kit.signing import PublicKey


@click.group("keys", cls=Group)
def keys_group() -> None:
    """Generate and show signing keys."""


@keys_group.command("generate")
@click.argument("path", type=NEW_KEYS)
@click.option(
    "--algorithm",
    type=click.Choice(KINDS),
    default="es256",
    show_default=True,
    help="es256 also signs whole archives (.sig), reproducibly. ed25519 cannot. ps256 signs them with a random salt.",
)
@click.option(
    "--passphrase", "ask", is_flag=True, help="Ask for a passphrase at the terminal and encrypt the private key."
)
@json_option
def generate_command(path: Path, algorithm: str, ask: bool, as_json: bool) -> None:
    """Generate a key pair: X.pem (private, mode 0600) and X.pub.pem.

    For another PATH, the public key is PATH.pub.pem.

    \b
    Example:
      kit keys generate site.pem
    """
    from kit.signing import Algorithm, generate, write_private, write_public

    public = public_path(path)
    for place in (path, public, earlier_public_path(path)):
        if os.path.lexists(place):  # check both before either is written: half a pair is useless
            raise OutputError("already exists, and a key is never overwritten", where=str(place))
    passphrase = _ask_new_passphrase(path) if ask else None
    key = generate(Algorithm[algorithm.upper()])
    write_private(path, key, passphrase)
    write_public(public, key.public)
    lines = [f"private key: {path}", f"public key:  {public}", *_lines(key.public)]
    print_report(
        lines,
        {"private": str(path), "public": str(public), **_json(key.public)},
        as_json=as_json,
        done="the keys are written",
    )


@keys_group.command("show")
@click.argument("path", type=FILE)
@json_option
def show_command(path: Path, as_json: bool) -> None:
    """Show the key id, algorithm and public key of a key file.

    PATH is a public key, or a private key that is not encrypted.

    \b
    Example:
      kit keys show site.pub.pem
    """
    key = _load_public(path)
    print_report([*_lines(key), *key.pem.decode().splitlines()], _json(key), as_json=as_json)


def _ask_new_passphrase(path: Path) -> bytes:
    if not has_terminal():
        raise KeyUnusableError("a passphrase is needed, and there is no terminal to ask for it", where=str(path))
    text: str = click.prompt("Passphrase", hide_input=True, confirmation_prompt=True, err=True)
    return text.encode()


def _load_public(path: Path) -> PublicKey:
    from kit.signing import load_private, load_public

    try:
        return load_public(path)
    except KeyUnusableError as error:
        try:
            return load_private(path).public
        except KeyUnusableError:
            raise error from None


def _lines(key: PublicKey) -> list[str]:
    return [f"key id:      {key.key_id}", f"algorithm:   {key.algorithm}"]


def _json(key: PublicKey) -> dict[str, str]:
    return {"keyId": key.key_id, "algorithm": str(key.algorithm), "publicKey": key.pem.decode()}


@click.group("keyring", cls=Group)
def keyring_group() -> None:
    """Create, change and show keyrings of field encryption."""


def _record_options(command: Any) -> Any:
    for option in reversed(
        (
            click.option(
                "--passphrase-fd", type=int, metavar="N", help="Read the passphrase from this file descriptor."
            ),
            click.option(
                "--rsa", type=FILE, metavar="PEM", help="Seal with this RSA public key. Only its private key opens it."
            ),
            click.option(
                "--age", "recipients", multiple=True, metavar="AGE1…", help="Seal for this age recipient. Repeatable."
            ),
            click.option("--pkcs11-token", metavar="LABEL", help="Seal with an AES key in this PKCS#11 token."),
            click.option("--pkcs11-key", metavar="LABEL", help="Label of that key."),
            click.option("--pkcs11-key-id", metavar="HEX", help="Id of that key, instead of its label or with it."),
            click.option(
                "--pkcs11-mechanism",
                type=click.Choice(MECHANISMS),
                help="How the token wraps. Default: a mechanism that it supports.",
            ),
            token_options,
        )
    ):
        command = option(command)
    return command


@keyring_group.command("init")
@click.argument("path", type=CHANGED_KEYRING)
@_record_options
@json_option
def init_command(path: Path, as_json: bool, **sealed_by: Any) -> None:
    """Create a keyring at PATH (mode 0600).

    A passphrase seals its master key unless --rsa, --age or --pkcs11-token is given.

    \b
    Example:
      kit keyring init site.keyring
    """
    from kit.encryption import create, new_keyring

    _print(
        create(path, new_keyring(_make_record(sealed_by), now=_read_clock())).keyring,
        as_json=as_json,
        done="the keyring is made",
    )


@keyring_group.command("add")
@click.argument("path", type=CHANGED_KEYRING)
@_record_options
@json_option
def add_command(path: Path, as_json: bool, **sealed_by: Any) -> None:
    """Add a master key to the keyring at PATH.

    It seals all new data keys. kit keyring rewrap moves the old ones to it.

    \b
    Example:
      kit keyring add site.keyring --age age1…
    """
    from kit.encryption import load

    file = load(path)
    keyring = file.keyring.with_mek(_make_record(sealed_by), now=_read_clock())
    _print(file.replaced(keyring).keyring, as_json=as_json, done="the keyring is changed")


@keyring_group.command("rewrap")
@credential_options
@json_option
def rewrap_command(keyring: Path | None, as_json: bool, **opened_by: Any) -> None:
    """Seal every data key with the newest master key.

    The new keyring is read back, opened and compared before it replaces the old one.

    \b
    Example:
      kit keyring rewrap --keyring site.keyring
    """
    from kit.encryption import load, rewrap

    if keyring is None:
        raise UsageError("name the keyring with --keyring")
    _print(
        rewrap(load(keyring), take_credentials(opened_by, keyring)).keyring,
        as_json=as_json,
        done="the keyring is changed",
    )


@keyring_group.command("show")
@click.argument("path", type=KEYRING)
@json_option
def show_keyring_command(path: Path, as_json: bool) -> None:
    """Show the master and data keys of a keyring, without secrets.

    \b
    Example:
      kit keyring show site.keyring
    """
    from kit.encryption import load

    _print(load(path).keyring, as_json=as_json)


def _make_record(what: dict[str, Any]) -> MasterKeyRecord:
    from kit.encryption import AgeRecord, PassphraseRecord, RsaRecord, TokenRecord

    passphrase_fd: int | None = what.pop("passphrase_fd")
    rsa: Path | None = what.pop("rsa")
    recipients: tuple[str, ...] = what.pop("recipients")
    token: str | None = what.pop("pkcs11_token")
    if (rsa is not None) + bool(recipients) + (passphrase_fd is not None) + (token is not None) > 1:
        raise click.UsageError("a master key is sealed by one of --passphrase-fd, --rsa, --age and --pkcs11-token")
    if token is None and any(value is not None for value in what.values()):
        raise click.UsageError("a key in a token needs --pkcs11-token")
    if token is not None:
        return TokenRecord.make(
            take_token_credentials(what),
            token_label=token,
            key_label=what["pkcs11_key"],
            key_id=what["pkcs11_key_id"],
            mechanism=what["pkcs11_mechanism"],
        )
    if rsa is not None:
        return RsaRecord.make(read_file(rsa), where=str(rsa))
    if recipients:
        return AgeRecord.make(recipients)
    return PassphraseRecord.make(ask_passphrase("the new master key", passphrase_fd, confirm=True), random=os.urandom)


def _print(keyring: Keyring, *, as_json: bool, done: str = "") -> None:
    meks = [
        {"version": mek.version, "provider": mek.record.provider, "createdAt": str(mek.created_at)}
        for mek in keyring.meks
    ]
    deks = [
        {
            "dekId": dek.dek_id,
            "product": dek.scope.product,
            "context": dek.scope.context,
            "owner": dek.scope.owner,
            "mekVersion": dek.wrapped.mek_version,
            "state": str(dek.state),
            "uses": dek.uses,
            "createdAt": str(dek.created_at),
        }
        for dek in keyring.deks.values()
    ]
    lines = [f"master key {mek['version']}: {mek['provider']}, made {mek['createdAt']}" for mek in meks]
    lines += [
        f"{dek['dekId']}  {dek['state']}, {dek['uses']:,} uses, master key {dek['mekVersion']}: "
        f"{dek['product']} {dek['context']} {dek['owner']}"
        for dek in deks
    ]
    print_report(lines, {"schemaVersion": "1", "masterKeys": meks, "dataKeys": deks}, as_json=as_json, done=done)


def _read_clock() -> Timestamp:
    return Timestamp(int(time.time()))
