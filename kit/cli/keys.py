"""``kit keys``: generate and show signing keys."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kit.cli.options import KINDS, has_terminal, json_option, load_signing_key, passphrase_option
from kit.cli.output import print_report
from kit.cli.paths import NEW_KEYS, SIGNING_KEY, Group
from kit.cli.places import SecretSource
from kit.errors import KeyUnusableError, OutputError
from kit.output.key_names import earlier_public_path, public_path

if TYPE_CHECKING:
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
@click.argument("path", type=SIGNING_KEY)
@passphrase_option
@json_option
def show_command(path: Path | SecretSource, passphrase_fd: int | None, as_json: bool) -> None:
    """Show the key id, algorithm and public key of a key.

    PATH is a public key, a private key that is not encrypted, or the pkcs11: URI of a key in a token.

    \b
    Example:
      kit keys show site.pub.pem
      kit keys show 'pkcs11:token=site;object=signer?module-path=/usr/lib/softhsm/libsofthsm2.so'
    """
    key = _load_public(path) if isinstance(path, Path) else load_signing_key(path, passphrase_fd).public
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
