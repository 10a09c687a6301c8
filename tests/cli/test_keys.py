from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from kit.signing import Algorithm, load_private, load_public
from tests import kits
from tests.cli.terminal import Terminal
from tests.commands import kit
from tests.end_to_end.desk import Desk

KINDS = [("ed25519", Algorithm.ED25519), ("es256", Algorithm.ES256), ("ps256", Algorithm.PS256)]


@pytest.mark.parametrize(("name", "algorithm"), KINDS)
def test_a_key_pair_is_made_shown_and_usable(name: str, algorithm: Algorithm, tmp_path: Path) -> None:
    path, public = tmp_path / "k.pem", tmp_path / "k.pub.pem"
    made = kit("keys", "generate", path, "--algorithm", name, "--json")
    assert (made.code, made.err) == (0, "")
    assert (load_private(path).public, load_public(public).algorithm) == (load_public(public), algorithm)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    key_id = load_public(public).key_id
    facts = {"keyId": key_id, "algorithm": str(algorithm), "publicKey": public.read_text()}
    assert made.json == {"private": str(path), "public": str(public), **facts}
    assert kit("keys", "show", path, "--json").json == kit("keys", "show", public, "--json").json == facts
    assert kit("keys", "show", public).out == f"key id:      {key_id}\nalgorithm:   {algorithm}\n{public.read_text()}"


def test_the_private_key_never_shows(tmp_path: Path) -> None:
    path = tmp_path / "k.pem"
    secret = kit("keys", "generate", path).out + kit("keys", "show", path).out
    assert "PRIVATE" not in secret
    assert path.read_text().splitlines()[1] not in secret


@pytest.mark.parametrize("taken", ["k.pem", "k.pub.pem", "k.pem.pub"])
def test_neither_half_of_a_pair_is_made_where_one_has_no_room(taken: str, tmp_path: Path) -> None:
    (tmp_path / taken).write_text("precious")
    before = kits.folder_state(tmp_path)
    kit("keys", "generate", tmp_path / "k.pem").refused(
        74, f"{tmp_path / taken}: already exists, and a key is never overwritten"
    )
    assert kits.folder_state(tmp_path) == before


@pytest.mark.parametrize(
    ("private", "public"),
    [("k.pem", "k.pub.pem"), ("k", "k.pub.pem"), ("k.v2", "k.v2.pub.pem"), (".pem", ".pem.pub.pem")],
)
def test_a_public_key_has_the_name_that_every_page_uses(private: str, public: str, tmp_path: Path) -> None:
    assert kit("keys", "generate", tmp_path / private).code == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([private, public])


@pytest.mark.parametrize("private", ["k.pem", "k"])
def test_a_public_key_of_an_earlier_version_is_found_by_its_name_of_today(private: str, tmp_path: Path) -> None:
    kit("keys", "generate", tmp_path / private)
    public = (tmp_path / "k.pub.pem").rename(tmp_path / f"{private}.pub")
    shown = kit("keys", "show", tmp_path / "k.pub.pem")
    assert shown == kit("keys", "show", public)
    policy = tmp_path / "policy.json"
    assert kit("trust", "init", policy, "--key", tmp_path / "k.pub.pem", "publisher").code == 0
    # A file with the name of today is the one that counts, and is never passed over because it is no key.
    (tmp_path / "k.pub.pem").write_text("no key")
    kit("keys", "show", tmp_path / "k.pub.pem").refused(13, "k.pub.pem: not a public key")


@pytest.mark.parametrize(
    ("there", "named", "option"),
    [
        ("site.pub.pem", "site.pub", "--trusted-key"),
        ("site.pub.pem", "site.pem.pub", "--trusted-key"),
        ("site.pub.pem", "sites.pub.pem", "--trusted-key"),
        ("site.pem", "site", "--signing-key"),
        ("site", "site.pem", "--signing-key"),
        ("site.pem", "sit.pem", "--signing-key"),
    ],
)
def test_a_missing_key_file_offers_the_one_that_is_there(
    there: str, named: str, option: str, tmp_path: Path, desk: Desk
) -> None:
    (tmp_path / there).touch(0o600)
    words = ["--trusted-key", tmp_path / named] if option == "--trusted-key" else desk.trust("vendor")
    key = tmp_path / named if option == "--signing-key" else desk.keys / "site"
    done = kit("patch", desk.kit(), "-o", tmp_path / "out", *words, "--signing-key", key)
    done.refused(13, "No such file", f"kit: hint: did you mean {tmp_path / there}?")


@pytest.mark.parametrize(
    ("there", "named", "option"),
    [
        ("site.pub.pem", "site.pem", "--signing-key"),
        ("site.pem", "site.pub.pem", "--trusted-key"),
        ("other.pub.pem", "site.pub.pem", "--trusted-key"),
    ],
)
def test_a_key_of_another_kind_or_name_is_not_offered(
    there: str, named: str, option: str, tmp_path: Path, desk: Desk
) -> None:
    (tmp_path / there).touch(0o600)
    words = ["--trusted-key", tmp_path / named] if option == "--trusted-key" else desk.trust("vendor")
    key = tmp_path / named if option == "--signing-key" else desk.keys / "site"
    done = kit("patch", desk.kit(), "-o", tmp_path / "out", *words, "--signing-key", key)
    done.refused(13, "No such file")
    assert "hint" not in done.err


def test_a_key_in_a_folder_that_is_not_there_is_output_not_written(tmp_path: Path) -> None:
    kit("keys", "generate", tmp_path / "absent" / "k.pem").refused(74, "cannot write the key: No such file")


def test_what_is_no_key_is_not_shown(tmp_path: Path, desk: Desk) -> None:
    (tmp_path / "k.pem").write_text("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n")
    kit("keys", "show", tmp_path / "k.pem").refused(13, "not a public key that can be read")
    kit("keys", "show", tmp_path / "absent").refused(13, "cannot read the key: No such file")
    kit("keys", "show", desk.add_key("locked", passphrase=b"open")).refused(13, "ENCRYPTED PRIVATE KEY")


def test_nothing_is_asked_where_there_is_no_terminal(tmp_path: Path) -> None:
    with Path(os.devnull).open() as nobody:
        done = Terminal.without(nobody, "keys", "generate", tmp_path / "k.pem", "--passphrase")
    assert (done.returncode, done.stdout) == (13, b"")
    assert (
        done.stderr
        == f"kit: error: {tmp_path}/k.pem: a passphrase is needed, and there is no terminal to ask for it\n".encode()
    )
    assert list(tmp_path.iterdir()) == []


def test_a_passphrase_is_asked_for_twice_at_the_terminal_and_then_protects_the_key(tmp_path: Path) -> None:
    with Terminal("keys", "generate", tmp_path / "k.pem", "--passphrase") as terminal:
        terminal.expect("Passphrase: ")
        terminal.enter("correct horse\n")
        terminal.expect("Repeat for confirmation: ")
        terminal.enter("correct horse\n")
        assert terminal.wait() == 0
    assert "correct horse" not in terminal.shown
    assert load_private(tmp_path / "k.pem", lambda: b"correct horse").public == load_public(tmp_path / "k.pub.pem")


class TestPassphraseOfASigningKey:
    @pytest.fixture
    def locked(self, desk: Desk) -> str:
        return desk.add_key("locked", passphrase=b"open sesame").name

    def test_it_is_read_from_a_descriptor(self, locked: str, desk: Desk) -> None:
        reading, writing = os.pipe()
        os.write(writing, b"open sesame\r\nnot this line")
        os.close(writing)
        try:
            desk.patched(None, "--passphrase-fd", reading, by=locked)
        finally:
            os.close(reading)

    def test_a_wrong_one_is_refused(self, locked: str, desk: Desk) -> None:
        path = desk.kit()
        before = kits.folder_state(desk.kits)
        reading, writing = os.pipe()
        os.write(writing, b"sesame")
        os.close(writing)
        try:
            outcome = desk.patch(path, "--output", desk.kits / "o", "--passphrase-fd", reading, by=locked)
        finally:
            os.close(reading)
        outcome.refused(13, "wrong passphrase, or not a private key")
        assert kits.folder_state(desk.kits) == before

    def test_a_descriptor_that_is_not_open_is_refused(self, locked: str, desk: Desk) -> None:
        outcome = desk.patch(desk.kit(), "--output", desk.kits / "o", "--passphrase-fd", 999, by=locked)
        outcome.refused(13, "the passphrase cannot be read: Bad file descriptor")

    def test_it_is_not_asked_for_without_a_terminal(self, locked: str, desk: Desk) -> None:
        with Path(os.devnull).open() as nobody:
            words = ("--output", desk.kits / "o", "--signing-key", desk.keys / locked)
            done = Terminal.without(nobody, "patch", desk.kit(), *desk.trust("vendor"), *words)
        assert done.returncode == 13
        assert b"and there is no terminal to ask for it\nkit: hint: pass it with --passphrase-fd" in done.stderr

    def test_it_is_asked_for_at_the_terminal(self, locked: str, desk: Desk) -> None:
        output = desk.kits / "patched.tar.zst"
        words = ("--output", output, "--signing-key", desk.keys / locked, "--workers", 1)
        with Terminal("patch", desk.kit(), *desk.trust("vendor"), *words) as terminal:
            terminal.expect(f"Passphrase of {desk.keys / locked}: ")
            terminal.enter("open sesame\n")
            assert terminal.wait() == 0
        assert "open sesame" not in terminal.shown
        assert desk.verify(output, "vendor", locked).code == 0

    @pytest.mark.slow
    def test_interrupted_while_it_waits_nothing_is_left(self, locked: str, desk: Desk) -> None:
        path = desk.kit()
        before = kits.folder_state(desk.kits)
        words = ("--in-place", "--signing-key", desk.keys / locked)
        with Terminal("patch", path, *desk.trust("vendor"), *words) as terminal:
            terminal.expect("Passphrase of ")
            terminal.interrupt()
            assert terminal.wait() == 130
        assert terminal.shown.endswith("kit: error: interrupted; the kit is as it was\r\n")
        assert kits.folder_state(desk.kits) == before
