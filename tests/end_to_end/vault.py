"""A site that encrypts: keyrings and what opens them, a made-up NoteLett kit, and the commands over them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kit.encryption import Credentials, PassphraseRecord, UnlockedKeyring, create, load, new_keyring, unlock
from kit.encryption.master_keys import MasterKeyRecord
from kit.values import Timestamp
from tests import kits
from tests.commands import Outcome, kit
from tests.end_to_end.desk import Desk, key
from tests.kits import AT

PASSPHRASE = b"TEST-ONLY passphrase"
CREDENTIALS = Credentials(passphrase=lambda _: PASSPHRASE)
COST = 1 << 10
DUMP = "dump/notelett"
NOTE = "Rückfrage an Frau Müller — ✓"
BUILTIN = "__builtin__"


@contextmanager
def descriptor(*passphrases: bytes) -> Iterator[int]:
    """Give a descriptor from which these passphrases can be read, a line each."""
    reading, writing = os.pipe()
    os.write(writing, b"".join(line + b"\n" for line in passphrases))
    os.close(writing)
    try:
        yield reading
    finally:
        os.close(reading)


def note(number: int, *, owner: Any = "ada", **changes: Any) -> dict[str, Any]:
    """Give a note; ``...`` removes an element."""
    whole = {"_id": f"n{number}", "workspaceId": f"w{number % 2}", "userId": owner, "title": "shown", "body": NOTE}
    return {name: value for name, value in (whole | changes).items() if value is not ...}


def notelett() -> dict[str, list[dict[str, Any]]]:
    """Give the five containers with owners to skip, nulls and missing fields in each field's own number."""
    prompt = {"description": "d", "systemPrompt": "s", "userPromptTemplate": "u"}
    artifact = {"title": "t", "description": None, "blobPath": "blob/1"}
    action = {"reason": "r", "beforeSummary": "b", "afterSummary": "a", "reviewNote": None}
    return {
        "notes": [note(n, owner="ada" if n % 3 else "bob", **({"body": None} if n == 4 else {})) for n in range(9)],
        "palace_memories": [{"_id": n, "userId": "ada", "content": f"memory {n}"} for n in range(4)],
        "note_artifacts": [
            {"_id": 1, "workspaceId": "w0", "userId": "ada", **artifact},
            {"_id": 2, "workspaceId": "w0", "userId": "bob", "title": "only"},
        ],
        "note_prompts": [
            {"_id": 1, "userId": BUILTIN, **prompt},
            {"_id": 2, "userId": BUILTIN, "description": None},
            {"_id": 3, "userId": "ada", **prompt},
        ],
        "note_agent_actions": [
            {"_id": n, "workspaceId": "w1", "userId": "bob", **action, **({"reason": ""} if n else {})}
            for n in range(3)
        ],
    }


def members(containers: Mapping[str, Iterable[Mapping[str, Any]]] | None = None, **raw: bytes) -> kits.Members:
    """Give the members of a NoteLett kit; ``raw`` names a container and gives its bytes."""
    chosen = notelett() if containers is None and not raw else containers or {}
    bodies = {name: kits.collection(documents) for name, documents in chosen.items()} | raw
    return {"README.txt": b"a kit\n", **{f"{DUMP}/{name}.bson": body for name, body in sorted(bodies.items())}}


def body(path: Path, container: str) -> bytes:
    return kits.read(path)[f"{DUMP}/{container}.bson"]


class Vault(Desk):
    """A desk with a keyring."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.keyring = self.add_keyring("site.keyring")

    def add_keyring(self, name: str, record: MasterKeyRecord | None = None) -> Path:
        made = record or PassphraseRecord.make(PASSPHRASE, random=os.urandom, cost=COST)
        create(self.keys / name, new_keyring(made, now=Timestamp.parse(AT)))
        return self.keys / name

    def unlocked(self, keyring: Path | None = None) -> UnlockedKeyring:
        return unlock(load(keyring or self.keyring).keyring, CREDENTIALS)

    def notes(self, *documents: Mapping[str, Any], name: str = "kit.tar.zst") -> Path:
        return self.kit(members({"notes": documents or [note(n) for n in range(3)]}), name=name)

    def containers(self, **bodies: bytes) -> Path:
        """Write a kit of containers given as bytes, signed by the vendor."""
        return self.write(kits.signed(members({}, **bodies), key("vendor")))

    def encrypting(
        self,
        command: str,
        path: Path,
        *options: object,
        keyring: Path | None = None,
        passphrase: bytes | None = PASSPHRASE,
        field_map: object = "notelett",
        trusting: tuple[str, ...] = ("vendor",),
        workers: int = 1,
        before: tuple[object, ...] = (),
    ) -> Outcome:
        """Run plan or patch with encrypt-fields; a patch has its key, and its note unless ``options`` have none."""
        words: list[object] = [command, path, *self.trust(*trusting), *before, "--transform", "encrypt-fields"]
        words += ["--field-map", field_map, "--created-at", AT, "--workers", workers, "--keyring"]
        words += [keyring or self.keyring]
        if command == "patch":
            words += ["--signing-key", self.keys / "site", "--rollback-note", "the old kit is kept"]
        if passphrase is None:
            return kit(*words, *options)
        with descriptor(passphrase) as number:
            return kit(*words, "--keyring-passphrase-fd", number, *options)

    def encrypted(self, path: Path | None = None, *options: object, name: str = "out.tar.zst", **how: Any) -> Path:
        output = self.kits / name
        outcome = self.encrypting("patch", path or self.notes(), "--output", output, *options, **how)
        assert outcome.code == 0, outcome
        return output

    def resigned(self, path: Path, container: str, documents: Iterable[bytes], name: str = "altered.tar.zst") -> Path:
        """Sign as the vendor a kit with what an encrypted one has, and these documents in a container."""
        found = {name: body for name, body in kits.read(path).items() if not name.startswith("manifest/")}
        found[f"{DUMP}/{container}.bson"] = b"".join(documents)
        return self.kit(found, name=name)

    def proving(
        self, path: Path, *options: object, keyring: Path | None = None, passphrase: bytes | None = None
    ) -> Outcome:
        """Verify with the field map; with the keyring where a passphrase is given."""
        words = ["--field-map", "notelett", *options]
        if passphrase is None:
            return self.verify(path, options=(*words, *(("--keyring", keyring) if keyring else ())))
        with descriptor(passphrase) as number:
            keys = ("--keyring", keyring or self.keyring, "--keyring-passphrase-fd", number)
            return self.verify(path, options=(*words, *keys))
