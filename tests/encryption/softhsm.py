"""A token in software: SoftHSM with its folder under pytest's own, a good key, and one of each kind that is refused."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

TOKEN = "site"  # noqa: S105 - a label
PIN = "TEST-ONLY-1234"
KEY_ID = "0a0b"
MODULES = (
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
    "/usr/lib64/libsofthsm2.so",
    "/usr/local/lib/softhsm/libsofthsm2.so",
    "/opt/homebrew/lib/softhsm/libsofthsm2.so",
)


def softhsm_module() -> Path:
    found = next((path for path in map(Path, MODULES) if path.exists()), None)
    if found is None or shutil.which("softhsm2-util") is None:
        pytest.skip("SoftHSM is not installed")
    return found


def new_token(folder: Path) -> None:
    """Make a token; SOFTHSM2_CONF is read when the module is first loaded, so one serves a whole process."""
    (folder / "tokens").mkdir()
    (folder / "softhsm2.conf").write_text(f"directories.tokendir = {folder}/tokens\nobjectstore.backend = file\n")
    os.environ["SOFTHSM2_CONF"] = str(folder / "softhsm2.conf")
    command = ["softhsm2-util", "--init-token", "--free", "--label", TOKEN, "--pin", PIN, "--so-pin", PIN]
    subprocess.run(command, check=True, capture_output=True)


def new_keys(pkcs11: Any, module: Path) -> None:
    attribute = pkcs11.Attribute
    kinds: dict[str, dict[Any, Any]] = {
        "mek": {},
        "other": {},
        "leaky": {attribute.EXTRACTABLE: True},
        "open": {attribute.SENSITIVE: False},
        "idle": {attribute.WRAP: False},
        "twin": {},
    }
    with pkcs11.lib(str(module)).get_token(token_label=TOKEN).open(rw=True, user_pin=PIN) as session:
        for label, changes in kinds.items():
            template = {
                attribute.SENSITIVE: True,
                attribute.EXTRACTABLE: False,
                attribute.WRAP: True,
                attribute.UNWRAP: True,
            }
            for bits in (256, 256) if label == "twin" else (256,):
                session.generate_key(
                    pkcs11.KeyType.AES,
                    bits,
                    label=label,
                    id=bytes.fromhex(KEY_ID) if label == "mek" else None,
                    store=True,
                    template=template | changes,
                )
        session.generate_key(
            pkcs11.KeyType.AES,
            128,
            label="short",
            store=True,
            template={attribute.SENSITIVE: True, attribute.EXTRACTABLE: False},
        )
