"""``kit keyring import`` and ``export``: data keys from the live platform, and to it (schemas/keyring.md)."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kit.cli.encryption_options import credential_options, take_credentials
from kit.cli.options import ADAPTERS, FILE, ask_passphrase, json_option, read_clock, read_file
from kit.cli.output import print_report
from kit.cli.paths import ADAPTER_OR_NAME, APPENDED, NEW, Command
from kit.cli.places import SECRET_LINE, SecretSource
from kit.cli.trust_options import policy_option, read_anchor
from kit.errors import UsageError

if TYPE_CHECKING:
    from kit.encryption.key_records import Adapter
    from kit.encryption.live_keys import TakenOver

_MAX_KEY_BYTES = 64 * 1024
adapter_option = click.option(
    "--adapter",
    type=ADAPTER_OR_NAME,
    default=ADAPTERS[0],
    show_default=True,
    metavar="ADAPTER",
    help=f"What the members of a record are called: a file (schemas/key-adapter.md), or one of {', '.join(ADAPTERS)}.",
)


@click.command("import", cls=Command)
@click.argument("records", type=FILE)
@credential_options
@adapter_option
@click.option("--product", required=True, metavar="P", help="The product that all keys must be of.")
@click.option("--context", metavar="C", help="The context of the keys, where their records do not state it.")
@click.option("--owner", metavar="O", help="The owner of the keys, where their records do not state it.")
@click.option(
    "--unwrap-key",
    type=FILE,
    metavar="FILE",
    help="What opens the records: an RSA private key (PEM), or a local master key of 96 bytes.",
)
@click.option(
    "--unwrap-passphrase-fd",
    type=SECRET_LINE,
    metavar="N",
    help="Read the passphrase of that key from this file descriptor, or from env:NAME. Default: ask at the terminal.",
)
@click.option("--only", "chosen", multiple=True, metavar="DEK-ID", help="Take only this key. Repeatable.")
@json_option
def import_command(
    records: Path, keyring: Path | None, adapter: str, chosen: tuple[str, ...], as_json: bool, **what: Any
) -> None:
    """Take over the live platform's data keys from RECORDS.

    RECORDS is BSON or JSON.

    The keyring then opens the platform's envelopes, and what it seals opens there. An active key takes the place of the
    active one of its owner, which is retired. All keys are taken, or none. A key that is there already stays as it is.

    \b
    Example:
      kit keyring import dek_store.json --keyring site.keyring --product notelett --unwrap-key kms.pem
      kit keyring import vault.bson --adapter key-vault --unwrap-key local.key --keyring site.keyring \\
          --product notelett --context notes --owner ada
    """
    from kit.encryption import load, unlock
    from kit.encryption.key_records import read_records
    from kit.encryption.live_keys import Purpose, open_wrapper, take_over

    if keyring is None:
        raise UsageError("name the keyring with --keyring")
    form = load_adapter(adapter)
    found = read_records(read_file(records), form, where=str(records))
    if chosen:
        absent = sorted(set(chosen) - {record.dek_id for record in found})
        if absent:
            raise UsageError(f"{records} has no record of the data key {absent[0][:128]!r}")
        found = tuple(record for record in found if record.dek_id in chosen)
    key: Path | None = what.pop("unwrap_key")
    passphrase_fd: int | SecretSource | None = what.pop("unwrap_passphrase_fd")
    purpose = Purpose(**{name: what.pop(name) for name in ("product", "context", "owner")})
    wrapper = open_wrapper(
        form.wrapping,
        _read_secret(key),
        functools.partial(ask_passphrase, str(key), passphrase_fd, option="--unwrap-passphrase-fd"),
        where=str(key),
    )
    file = load(keyring)
    unlocked = unlock(file.keyring, take_credentials(what, keyring), where=str(keyring))
    done = take_over(unlocked, found, wrapper, purpose, now=read_clock())
    # Read back and opened: a key that the keyring does not give back is one that nobody has.
    done.unlocked.reopened(file.replaced(done.unlocked.keyring).keyring)
    _print(done, as_json=as_json)


@click.command("export", cls=Command)
@click.argument("dek_ids", metavar="DEK-ID...", nargs=-1, required=True)
@credential_options
@policy_option
@click.option(
    "--recipient", type=FILE, required=True, metavar="PEM", help="The RSA public key that the keys are wrapped for."
)
@click.option("--audit-log", type=APPENDED, required=True, metavar="FILE", help="Where this is recorded.")
@adapter_option
@click.option("--output", "-o", type=NEW, required=True, metavar="FILE", help="The new file of records.")
@json_option
def export_command(
    dek_ids: tuple[str, ...],
    keyring: Path | None,
    policy: Path | None,
    recipient: Path,
    audit_log: Path,
    adapter: str,
    output: Path,
    as_json: bool,
    **what: Any,
) -> None:
    """Hand data keys to the platform, in the form of its own records.

    They are wrapped for one key that the policy names with the role recipient, and never in the clear. A record is in
    the audit log before the file has its name.

    \b
    Example:
      kit keyring export dek-0123456789abcdef0123456789abcdef --keyring site.keyring --trust policy.json \\
          --recipient platform.pub.pem --audit-log keys.log -o dek_store.json
    """
    from kit.signing import load_public
    from kit.verbs.key_export import KeyExportRequest, export_keys

    if keyring is None:
        raise UsageError("name the keyring with --keyring")
    anchor = read_anchor(policy, read_clock())
    if anchor is None:
        raise UsageError("keys leave only under a policy that names their recipient: --trust POLICY")
    done = export_keys(
        KeyExportRequest(
            keyring=keyring,
            credentials=take_credentials(what, keyring),
            dek_ids=dek_ids,
            recipient=load_public(recipient),
            anchor=anchor,
            adapter=load_adapter(adapter),
            audit_log=audit_log,
            output=output,
            clock=read_clock,
        )
    )
    print_report(
        [
            f"{len(done.dek_ids):,} data keys, wrapped for {done.recipient}: {done.output}",
            f"recorded in {done.audit_log}; keep the head of the log elsewhere: {done.audit_head}",
        ],
        {
            "schemaVersion": "1",
            "exported": list(done.dek_ids),
            "recipient": done.recipient,
            "output": str(done.output),
            "outputSha256": str(done.output_sha256),
            "auditHead": str(done.audit_head),
        },
        as_json=as_json,
        done="the keys are written",
    )


def load_adapter(name: str) -> Adapter:
    """Return a shipped adapter by its name, else that of a file.

    Raises:
        UnreadableError: The file does not exist.
        ContentError: It is refused.
    """
    from kit.encryption.key_records import SHIPPED, Adapter, shipped

    return shipped(name) if name in SHIPPED else Adapter.parse(read_file(Path(name)), where=name)


def _read_secret(path: Path | None) -> bytes | None:
    from kit.output import secret_files

    if path is None:
        return None
    return secret_files.read(path, what="key that opens records", largest=_MAX_KEY_BYTES, secret=True)


def _print(done: TakenOver, *, as_json: bool) -> None:
    deks = [done.unlocked.keyring.deks[dek_id] for dek_id in done.taken]
    lines = [f"{dek.dek_id}  {dek.state}: {dek.scope.product} {dek.scope.context} {dek.scope.owner}" for dek in deks]
    lines += [f"{dek_id}  is there already" for dek_id in done.known]
    print_report(
        lines,
        {"schemaVersion": "1", "taken": list(done.taken), "known": list(done.known)},
        as_json=as_json,
        done="the keyring is changed" if done.taken else "",
    )
