"""``kit keyring``: create keyrings, add master keys, rewrap and retire data keys, show both."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kit.cli.encryption_options import credential_options, take_credentials, take_token_credentials, token_options
from kit.cli.keyring.exchange import export_command, import_command
from kit.cli.options import FILE, MECHANISMS, ask_passphrase, json_option, read_clock, read_file
from kit.cli.output import print_report
from kit.cli.paths import CHANGED_KEYRING, KEYRING, Group
from kit.cli.places import SECRET_LINE, SecretSource
from kit.errors import UsageError

if TYPE_CHECKING:
    from kit.encryption.keyring import Keyring
    from kit.encryption.master_keys import MasterKeyRecord


@click.group("keyring", cls=Group)
def keyring_group() -> None:
    """Create, change and show keyrings of field encryption."""


keyring_group.add_command(export_command)
keyring_group.add_command(import_command)


def _record_options(command: Any) -> Any:
    for option in reversed(
        (
            click.option(
                "--passphrase-fd",
                type=SECRET_LINE,
                metavar="N",
                help="Read the passphrase from this file descriptor, or from env:NAME.",
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
        create(path, new_keyring(_make_record(sealed_by), now=read_clock())).keyring,
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
    keyring = file.keyring.with_mek(_make_record(sealed_by), now=read_clock())
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


@keyring_group.command("retire")
@click.argument("path", type=CHANGED_KEYRING)
@click.argument("dek_ids", metavar="DEK-ID...", nargs=-1, required=True)
@json_option
def retire_command(path: Path, dek_ids: tuple[str, ...], as_json: bool) -> None:
    """Retire data keys of the keyring at PATH.

    They open what they sealed, and seal no more. The next run makes a new key for each owner it finds. No
    credential is needed, since nothing is opened. What is sealed stays as it is: kit keyring rekey is for a key that
    others may have.

    \b
    Example:
      kit keyring retire site.keyring dek-0123456789abcdef0123456789abcdef
    """
    from kit.encryption import load

    file = load(path)
    _print(file.replaced(file.keyring.retired(*dek_ids)).keyring, as_json=as_json, done="the keyring is changed")


@keyring_group.command("rekey")
@click.argument("dek_ids", metavar="DEK-ID...", nargs=-1, required=True)
@credential_options
@json_option
def rekey_command(dek_ids: tuple[str, ...], keyring: Path | None, as_json: bool, **opened_by: Any) -> None:
    """Replace data keys that others may have by new ones.

    Each is retired, and its owner gets a new key.

    kit patch --rekey DEK-ID then seals the values of a kit again, and makes the new key itself where there is none.
    Use this command first where the platform needs the new key before a kit is sealed under it.

    \b
    Example:
      kit keyring rekey dek-0123456789abcdef0123456789abcdef --keyring site.keyring
    """
    from kit.encryption import Profile, load, unlock

    if keyring is None:
        raise UsageError("name the keyring with --keyring")
    file = load(keyring)
    unlocked = unlock(file.keyring, take_credentials(opened_by, keyring), where=str(keyring)).replacing(dek_ids)
    scopes = dict.fromkeys((unlocked.keyring.deks[dek_id].scope for dek_id in dek_ids), 0)
    made = unlocked.provide(scopes, profile=Profile.BOUND, random=os.urandom, now=read_clock())
    made.reopened(file.replaced(made.keyring).keyring)
    _print(made.keyring, as_json=as_json, done="the keyring is changed")


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

    passphrase_fd: int | SecretSource | None = what.pop("passphrase_fd")
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
