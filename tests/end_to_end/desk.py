"""The desk of somebody who works with kits: a folder, the keys of everyone concerned, and the commands."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kit.signing import Algorithm, PrivateKey, generate, write_private, write_public
from tests import kits
from tests.commands import Outcome, kit
from tests.kits import AT, Members

_KEYS: dict[str, PrivateKey] = {}


def key(name: str, algorithm: Algorithm = Algorithm.ES256) -> PrivateKey:
    """Give the key of a person; the same one throughout a run of the tests, of the kind it was first asked for."""
    if name not in _KEYS:
        _KEYS[name] = generate(algorithm)
    return _KEYS[name]


class Desk:
    """Vendor, site and a stranger, each with a P-256 key, in a folder of their own beside the kits."""

    def __init__(self, folder: Path) -> None:
        self.keys = folder / "keys"
        self.kits = folder / "kits"
        for place in (self.keys, self.kits):
            place.mkdir()
        for name in ("vendor", "site", "stranger"):
            self.add_key(name)

    def add_key(self, name: str, algorithm: Algorithm = Algorithm.ES256, passphrase: bytes | None = None) -> Path:
        made = key(name, algorithm)
        write_private(self.keys / name, made, passphrase)
        write_public(self.public(name), made.public)
        return self.keys / name

    def public(self, name: str) -> Path:
        return self.keys / f"{name}.pub"

    def trust(self, *names: str) -> list[object]:
        return [word for name in names for word in ("--trusted-key", self.public(name))]

    def kit(
        self,
        members: Members | None = None,
        *,
        name: str = "kit.tar.zst",
        manifest: Mapping[str, Any] | bytes | None = None,
        signer: str | None = "vendor",
    ) -> Path:
        """Write a kit signed by the vendor."""
        chosen = kits.content() if members is None else members
        return self.write(kits.signed(chosen, key(signer) if signer else None, manifest), name)

    def write(self, members: Mapping[str, Any], name: str = "kit.tar.zst") -> Path:
        return kits.write_kit(self.kits / name, members)

    def patch(self, path: Path, *options: object, by: str = "site", trusting: tuple[str, ...] = ("vendor",)) -> Outcome:
        signing = ("--signing-key", self.keys / by)
        return kit("patch", path, *self.trust(*trusting), *signing, "--created-at", AT, "--workers", 1, *options)

    def patched(self, path: Path | None = None, *options: object, name: str = "patched.tar.zst", **more: Any) -> Path:
        output = self.kits / name
        outcome = self.patch(path or self.kit(), "--output", output, *options, **more)
        assert outcome.code == 0, outcome
        return output

    def verify(self, path: Path, *trusting: str, options: tuple[object, ...] = ()) -> Outcome:
        return kit("verify", path, *self.trust(*(trusting or ("vendor", "site"))), "--workers", 1, *options)

    def refused(self, path: Path, code: int, *words: str, trusting: tuple[str, ...] = ("vendor", "site")) -> None:
        """Check that verify refuses with this code, says why in one line, and says "valid" nowhere."""
        outcome = self.verify(path, *trusting)
        assert outcome.code == code, outcome
        assert "\nvalid: " not in outcome.out, outcome
        lines = outcome.err.splitlines()
        assert len(lines) <= 2, outcome
        assert lines[0].startswith("kit: error: "), outcome
        for word in words:
            assert word in outcome.err, outcome
