"""What a preflight opened is found open by the run, and only while the file holds the same bytes."""

from __future__ import annotations

from pathlib import Path

import pytest

from kit.encryption import Credentials, create, load
from kit.errors import KeyUnusableError
from kit.values import Timestamp
from kit.verbs.patch.request import Keying
from tests.encryption.site import PASSPHRASE, Stream, empty_keyring, passphrase_record


class Asked:
    """Gives the passphrase, and counts how often."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self, version: int) -> bytes:  # noqa: ARG002  as credentials ask
        self.times += 1
        return PASSPHRASE


@pytest.fixture
def keyring(tmp_path: Path) -> Path:
    return create(tmp_path / "keyring", empty_keyring()).path


def keying(keyring: Path, asked: Asked) -> Keying:
    return Keying(
        random=Stream("TEST-ONLY keying"), now=Timestamp(0), keyring=keyring, credentials=Credentials(passphrase=asked)
    )


def test_what_was_tried_is_given_once_without_opening_it_again(keyring: Path) -> None:
    asked = Asked()
    one = keying(keyring, asked)
    tried = one.tried(keyring)
    file, unlocked = one.opened(keyring)
    assert (file is tried, unlocked.keyring is tried.keyring, asked.times) == (True, True, 1)
    assert one.opened(keyring)[0] is not tried
    assert asked.times == 2


def test_a_keyring_that_was_changed_meanwhile_is_opened_anew(keyring: Path) -> None:
    asked = Asked()
    one = keying(keyring, asked)
    one.tried(keyring)
    file = load(keyring)
    changed = file.replaced(file.keyring.with_mek(passphrase_record(seed="other"), now=Timestamp(1)))
    assert one.opened(keyring)[1].keyring == changed.keyring


def test_a_keyring_that_was_exposed_meanwhile_is_refused(keyring: Path) -> None:
    one = keying(keyring, Asked())
    one.tried(keyring)
    keyring.chmod(0o644)
    with pytest.raises(KeyUnusableError):
        one.opened(keyring)
