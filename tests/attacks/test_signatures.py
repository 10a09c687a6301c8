"""Signatures that verify and are not those that were made, and keys under which too much verifies."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from conformance.build import signing
from conformance.build.kits import KEPT_SIGNATURE, patched, published
from kit.errors import KeyUnusableError
from kit.signing import Algorithm, PublicKey, archive_signature, dsse, generate, jws
from kit.values import Sha256
from tests import kits
from tests.commands import kit
from tests.end_to_end.desk import Desk, key
from tests.kits import MANIFEST, SIGNATURE, Members
from tests.manifest.samples import validator

ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
P, PEM, SPKI = 2**255 - 19, serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
BASE = "manifest/history/3/offline-manifest.json.jws"
STEP, LAST = (f"manifest/history/{number}/patch.intoto.json" for number in (3, 4))


def decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def other_jws(document: bytes) -> bytes:
    """Give the other form of an ES256 signature, without any key."""
    protected, value = document.decode().split("..")
    raw = decoded(value)
    s = ORDER - int.from_bytes(raw[32:], "big")
    twin = base64.urlsafe_b64encode(raw[:32] + s.to_bytes(32, "big")).rstrip(b"=").decode()
    return f"{protected}..{twin}".encode()


def other_dsse(document: bytes) -> bytes:
    envelope = json.loads(document)
    for entry in envelope["signatures"]:
        r, s = decode_dss_signature(base64.b64decode(entry["sig"]))
        entry["sig"] = base64.b64encode(encode_dss_signature(r, ORDER - s)).decode()
    return kits.to_json(envelope)


def general(document: bytes) -> bytes:
    """Spell a compact signature as a list of one."""
    protected, value = document.decode().split("..")
    return kits.to_json({"signatures": [{"protected": protected, "signature": value}]})


def restated(document: bytes) -> bytes:
    """Say something else of the step, by the same signer."""
    statement = json.loads(dsse.payload_of(document))
    statement["predicate"]["operator"] = "somebody else"
    return dsse.sign(kits.to_json(statement), [key("site")])


@pytest.fixture(scope="module")
def twice(tmp_path_factory: pytest.TempPathFactory) -> tuple[Desk, Members]:
    desk = Desk(tmp_path_factory.mktemp("twins"))
    once = desk.patched(desk.kit(name="kit.tar"), "--limit", 1, name="once.tar")
    path = desk.patched(once, name="twice.tar", trusting=("vendor", "site"))
    return desk, kits.read(path)


class TestTwins:
    """Who has no key changes r, s into r, n - s; who has one signs again. Neither is what lineage has."""

    @pytest.mark.parametrize(
        ("name", "change"),
        [
            pytest.param(BASE, other_jws, id="the publisher's signature in its other form"),
            pytest.param(BASE, general, id="the publisher's signature in another spelling"),
            pytest.param(STEP, other_dsse, id="the first step's statement in its other form"),
            pytest.param(STEP, restated, id="the first step's statement, another one by the same signer"),
        ],
    )
    def test_a_twin_of_what_lineage_has_is_refused(
        self, name: str, change: Callable[[bytes], bytes], twice: tuple[Desk, Members]
    ) -> None:
        desk, members = twice
        twin = change(members[name])
        assert twin != members[name]
        desk.refused(desk.write(members | {name: twin}, "twin.tar"), 2, name, "where lineage has")

    @pytest.mark.parametrize(("name", "change"), [(SIGNATURE, other_jws), (LAST, other_dsse)])
    def test_a_twin_of_what_no_lineage_has_yet_says_the_same(
        self, name: str, change: Callable[[bytes], bytes], twice: tuple[Desk, Members]
    ) -> None:
        desk, members = twice
        outcome = desk.verify(desk.write(members | {name: change(members[name])}, "same.tar"))
        assert outcome.code == 0, outcome

    def test_another_salt_of_an_rsa_signature_below_is_refused(self, desk: Desk) -> None:
        rsa_key = signing.key("rsa")
        (desk.keys / "rsa.pub").write_bytes(rsa_key.public.pem)
        base = desk.write(published(by=["rsa"]), "rsa.tar")
        members = kits.read(desk.patched(base, name="p.tar", trusting=("rsa",)))
        again = jws.sign(members["manifest/history/3/offline-manifest.json"], [rsa_key])
        assert desk.verify(desk.write(members, "good.tar"), "rsa", "site").code == 0
        desk.refused(desk.write(members | {BASE: again}, "t.tar"), 2, "where lineage has", trusting=("rsa", "site"))

    def test_entries_of_an_earlier_version_have_no_digests_and_stay_valid(self, desk: Desk) -> None:
        for name in ("publisher", "site-b", "site"):
            (desk.keys / f"{name}.pub").write_bytes(signing.key(name).public.pem)
        members = patched() | {KEPT_SIGNATURE: general(patched()[KEPT_SIGNATURE])}
        trusted = [word for n in ("publisher", "site") for word in ("--trusted-key", desk.keys / f"{n}.pub")]
        assert kit("verify", desk.write(members, "old.tar"), *trusted, "--workers", 1).code == 0

    def test_the_digests_are_of_the_format(self, twice: tuple[Desk, Members]) -> None:
        _, members = twice
        document = json.loads(members[MANIFEST])
        validator("offline-manifest.schema.json").validate(document)
        first, second = document["lineage"]
        assert first["signatureSha256"] == kits.sha256(members[BASE])
        assert second["priorStatementSha256"] == kits.sha256(members[STEP])
        assert "priorStatementSha256" not in first

    @pytest.mark.parametrize(
        ("number", "change", "words"),
        [
            (0, {"priorStatementSha256": "0" * 64}, "no earlier statement"),
            (0, {"signature": None}, "there is no signature"),
            (1, {"signatureSha256": "0"}, "signatureSha256"),
            (1, {"statementSha256": "0" * 64}, "unknown members"),
        ],
    )
    def test_a_digest_of_what_is_not_there(
        self, number: int, change: dict[str, object], words: str, twice: tuple[Desk, Members]
    ) -> None:
        desk, members = twice
        document = json.loads(members[MANIFEST])
        document["lineage"][number] |= change
        data = kits.to_json(document)
        signed = members | {MANIFEST: data, SIGNATURE: jws.sign(data, [key("site")])}
        desk.refused(desk.write(signed, "bad.tar"), 11, words)


class TestLowerForm:
    """Ours are in the lower form; a stock signer's may be in either."""

    def test_ours_are_low_in_every_format(self) -> None:
        private, low = generate(Algorithm.ES256), ORDER // 2
        for number in range(40):
            message = f"message {number}".encode()
            assert int.from_bytes(private.sign(message)[32:], "big") <= low
            assert decode_dss_signature(private.sign_der(message))[1] <= low
            assert decode_dss_signature(private.sign_digest(Sha256.of(message)))[1] <= low
            assert private.sign(message) == private.sign(message)

    def test_both_forms_are_read_in_every_format(self) -> None:
        private = generate(Algorithm.ES256)
        trusted = {private.public.key_id: private.public}
        compact = jws.sign(b"payload", [private])
        envelope = dsse.sign(b"{}", [private])
        line = archive_signature.sign(Sha256.of(b"archive"), private)
        assert line is not None
        r, s = decode_dss_signature(base64.b64decode(line))
        higher = base64.b64encode(encode_dss_signature(r, ORDER - s)) + b"\n"
        assert jws.verify(other_jws(compact), b"payload", trusted).valid_key_ids
        assert dsse.verify(other_dsse(envelope), trusted).check.valid_key_ids
        assert archive_signature.verify(higher, Sha256.of(b"archive"), trusted) == private.public


D = -121665 * pow(121666, -1, P) % P
Point = tuple[int, int]


def add(a: Point, b: Point) -> Point:
    """Add two points of the curve of RFC 8032 5.1 by its affine law."""
    product = D * a[0] * b[0] * a[1] * b[1] % P
    x = (a[0] * b[1] + a[1] * b[0]) * pow(1 + product, -1, P) % P
    return x, (a[1] * b[1] + a[0] * b[0]) * pow(1 - product, -1, P) % P


def times(number: int, point: Point) -> Point:
    result: Point = (0, 1)
    for bit in f"{number:b}":
        result = add(result, result)
        result = add(result, point) if bit == "1" else result
    return result


def square_root(square: int) -> int | None:
    root = pow(square, (P + 3) // 8, P)
    if (root * root - square) % P:
        root = root * pow(2, (P - 1) // 4, P) % P
    return root if (root * root - square) % P == 0 else None


def torsion() -> list[Point]:
    """Give the eight points of low order: multiples of what is left of a point times the order of the base point."""
    prime_order = 2**252 + 27742317777372353535851937790883648493
    for y in range(2, 100):
        x = square_root((y * y - 1) * pow(D * y * y + 1, -1, P) % P)
        rest = times(prime_order, (x, y)) if x is not None else (0, 1)
        points = [times(number, rest) for number in range(8)]
        if len(set(points)) == 8:
            return points
    raise AssertionError


def encodings(point: Point) -> list[bytes]:
    """Give every 32 bytes that may be taken for a point: each y below 2^255, and the sign of x = 0 either way."""
    x, y = point
    signs = (0, 1) if x == 0 else (x & 1,)
    return [(value | sign << 255).to_bytes(32, "little") for value in (y, y + P) if value < 2**255 for sign in signs]


LOW = sorted({encoded for point in torsion() for encoded in encodings(point)})
NOT_CANONICAL = [(P + number).to_bytes(32, "little") for number in range(2, 19)]
OFF_THE_CURVE = [
    number.to_bytes(32, "little")
    for number in range(2, 30)
    if square_root((number**2 - 1) * pow(D * number**2 + 1, -1, P) % P) is None
]


def pem_of(encoded: bytes) -> bytes:
    return ed25519.Ed25519PublicKey.from_public_bytes(encoded).public_bytes(PEM, SPKI)


class TestKeys:
    def test_the_attack_under_the_identity_every_message_is_signed(self) -> None:
        """R the identity, S zero: S·B = R + h·A for whatever h; the library says yes."""
        identity = (1).to_bytes(32, "little")
        weak = ed25519.Ed25519PublicKey.from_public_bytes(identity)
        for message in (b"one", b"another"):
            weak.verify(identity + bytes(32), message)

    def test_there_are_eight_points_and_more_encodings_of_them(self) -> None:
        assert len(torsion()) == 8
        assert len(LOW) == 14  # eight, the other sign of the two with x = 0, and y + p of y = 0 and of y = 1 with both
        assert len(OFF_THE_CURVE) > 5

    @pytest.mark.parametrize("encoded", [*LOW, *NOT_CANONICAL, *OFF_THE_CURVE], ids=lambda encoded: encoded.hex()[:8])
    def test_an_ed25519_key_that_is_none_is_refused(self, encoded: bytes) -> None:
        with pytest.raises(KeyUnusableError, match="Ed25519 key"):
            PublicKey.parse(pem_of(encoded))

    def test_keys_of_all_kinds_that_were_made_honestly_are_read(self) -> None:
        for _ in range(50):
            private = generate(Algorithm.ED25519)
            assert PublicKey.parse(private.public.pem) == private.public
        private = generate(Algorithm.ES256)
        assert PublicKey.parse(private.public.pem) == private.public

    @pytest.mark.parametrize("where", ["keys show", "verify", "policy", "trust add"])
    def test_wherever_a_key_is_read(self, where: str, desk: Desk, tmp_path: Path) -> None:
        weak = tmp_path / "weak.pub"
        weak.write_bytes(pem_of((1).to_bytes(32, "little")))
        policy = tmp_path / "policy.json"
        assert kit("trust", "init", policy, "--key", desk.public("vendor"), "publisher").code == 0
        document = json.loads(policy.read_bytes())
        document["keys"][0]["publicKey"] = weak.read_text()
        forged = tmp_path / "forged.json"
        forged.write_bytes(kits.to_json(document))
        path = desk.kit(name="k.tar")
        words: dict[str, tuple[tuple[object, ...], int]] = {
            "keys show": (("keys", "show", weak), 13),
            "verify": (("verify", path, "--trusted-key", weak), 13),
            "policy": (("verify", path, "--trust", forged), 11),
            "trust add": (("trust", "add", policy, weak, "--role", "patcher"), 13),
        }
        arguments, code = words[where]
        kit(*arguments).refused(code, "low order")

    @pytest.mark.parametrize(
        ("exponent", "modulus"),
        [(1, 0), (2, 0), (65536, 0), (2**257 + 1, 0), (65537, 1)],
        ids=["one", "two", "even", "endless", "an even modulus"],
    )
    def test_an_rsa_key_that_is_none_is_refused(self, exponent: int, modulus: int) -> None:
        """Spelled in DER, since the library makes none."""
        numbers = signing.key("rsa").public
        n = serialization.load_pem_public_key(numbers.pem)
        assert isinstance(n, rsa.RSAPublicKey)
        whole = n.public_numbers().n + modulus
        inner = sequence(integer(whole) + integer(exponent))
        algorithm = sequence(bytes.fromhex("06092a864886f70d010101") + b"\x05\x00")
        spki = sequence(algorithm + tagged(3, b"\x00" + inner))
        pem = b"-----BEGIN PUBLIC KEY-----\n" + base64.encodebytes(spki) + b"-----END PUBLIC KEY-----\n"
        with pytest.raises(KeyUnusableError):
            PublicKey.parse(pem)

    def test_a_point_that_is_not_on_p_256_is_refused(self) -> None:
        good = ec.generate_private_key(ec.SECP256R1()).public_key().public_bytes(serialization.Encoding.DER, SPKI)
        bad = good[:-1] + bytes([good[-1] ^ 1])
        pem = b"-----BEGIN PUBLIC KEY-----\n" + base64.encodebytes(bad) + b"-----END PUBLIC KEY-----\n"
        with pytest.raises(KeyUnusableError):
            PublicKey.parse(pem)


def tagged(tag: int, body: bytes) -> bytes:
    size = len(body)
    length = bytes([size]) if size < 128 else bytes([0x82]) + size.to_bytes(2, "big")
    return bytes([tag]) + length + body


def integer(number: int) -> bytes:
    return tagged(2, number.to_bytes(number.bit_length() // 8 + 1, "big"))


def sequence(body: bytes) -> bytes:
    return tagged(0x30, body)
