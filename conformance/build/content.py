"""Kits to refuse for what is in them: files that were not signed, documents that are not as declared, plain fields."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from conformance.build.case import Attack, Case, refused
from conformance.build.encrypted import DISPLACED, HALF_ENCRYPTED, MALFORMED, NOTES, PLAIN
from conformance.build.kits import (
    AFTER,
    BEFORE,
    LATER,
    MANIFEST,
    OBSERVATIONS,
    SIGNATURE,
    Document,
    Members,
    complete,
    encoded,
    files,
    manifest,
    observation,
    patched,
    published,
    step,
    summary,
    without,
)

A = Attack


def cases() -> Iterator[Case]:
    """Give them all."""
    yield from _files()
    yield from _declared()
    yield from _malformed()
    yield from _meddled()
    yield from _excessive()
    yield from _coverage()
    yield from _encrypted()


def _files() -> Iterator[Case]:
    whole = published()

    def of(name: str, says: str, attack: Attack, kit: Members, code: int = 2, number: int = 5, **more: Any) -> Case:
        return refused(name, says, attack, code, number, kit, **more)

    yield of("file-added", "a file the manifest does not list", A.EXTRANEOUS, whole | {"more.txt": b"x"})
    yield of(
        "file-added-beside-manifest",
        "a file more beside the manifest",
        A.EXTRANEOUS,
        whole | {"manifest/more.txt": b"x"},
    )
    yield of("file-removed", "a listed file removed", A.MIX_AND_MATCH, without(whole, "README.txt"))
    yield of("file-changed", "a byte of a file changed", A.ARBITRARY_SOFTWARE, whole | {"README.txt": b"a Kit\n"})
    yield of("file-grown", "a byte more behind a file", A.ARBITRARY_SOFTWARE, whole | {"README.txt": b"a kit\n\n"})
    renamed = without(whole, "README.txt") | {"readme.md": whole["README.txt"]}
    yield of("file-renamed", "a file under another name", A.MIX_AND_MATCH, renamed)
    swapped = whole | {"README.txt": whole["images/layer.bin"], "images/layer.bin": whole["README.txt"]}
    yield of("file-swapped", "two files that swap their bodies", A.MIX_AND_MATCH, swapped)
    lying = manifest(files())
    lying["files"][0]["size"] += 1
    yield of("size-lie", "a size that is not the body's", A.MIX_AND_MATCH, published(document=lying))
    old = patched() | {OBSERVATIONS: encoded(BEFORE)}
    yield of(
        "collection-rolled-back", "the collection as it was, under the patched manifest", A.ROLLBACK, old, trust="both"
    )
    yield of(
        "manifest-twice",
        "manifests in both places",
        A.PARSER_DIFFERENTIAL,
        whole | {"offline-manifest.json": whole[MANIFEST]},
        11,
        2,
    )
    yield of("manifest-absent", "no manifest", A.ARBITRARY_SOFTWARE, without(whole, MANIFEST, SIGNATURE), 11, 2)
    empty = published(document=manifest({}))
    yield of(
        "manifest-lists-nothing",
        "a manifest that lists nothing",
        A.ARBITRARY_SOFTWARE,
        without(empty, *files()),
        11,
        2,
    )
    wrong = b"0" * 64 + b"  beside-checksum-wrong.tar.gz\n"
    yield of(
        "beside-checksum-wrong", "a .sha256 file of another archive", A.MIX_AND_MATCH, whole, beside={".sha256": wrong}
    )
    yield of(
        "beside-signature-wrong",
        "a .sig file over another archive",
        A.MIX_AND_MATCH,
        whole,
        5,
        3,
        beside={".sig": b"AAAA\n"},
        trust="both",
        script=None,
    )


def _deep(name: str, says: str, attack: Attack, code: int, kit: Members, number: int = 7, **more: Any) -> Case:
    return refused(name, says, attack, code, number, kit, **({"needs": {"deep": True}, "script": None} | more))


def _declared() -> Iterator[Case]:
    lies: list[tuple[str, str, Callable[[Document], object]]] = [
        ("declared-documents", "more documents declared than there are", lambda s: s.update(documents=4)),
        ("declared-bytes", "other bytes declared than there are", lambda s: s.update(bytes=1)),
        (
            "declared-tenant",
            "a tenant declared that is not there",
            lambda s: s["tenants"].update(ghost={"documents": 0}),
        ),
        (
            "declared-coverage",
            "coverage declared that is not there",
            lambda s: s["tenants"]["acme"]["rawLinkset"].update(present=2, missing=0),
        ),
        (
            "declared-unresolvable",
            "more called unresolvable than are",
            lambda s: s["tenants"]["acme"]["rawLinkset"].update(unresolvable=2),
        ),
        (
            "declared-encrypted",
            "envelopes declared that are not there",
            lambda s: s["tenants"]["acme"].update(encrypted={"content.raw": 1}),
        ),
    ]
    for name, says, lie in lies:
        told = summary(BEFORE)
        lie(told)
        yield _deep(name, says, A.PREMATURE_SWITCH, 11, published(collections=[told]))
    yield _deep(
        "declared-not-all",
        "a collection that is not declared",
        A.MIX_AND_MATCH,
        11,
        published(files() | {"x/y/z.bson": b""}, collections=[summary(BEFORE)]),
    )


def _malformed() -> Iterator[Case]:
    body = encoded(BEFORE)
    for name, says, spoilt in (
        ("bson-cut", "the last document cut", body[:-3]),
        ("bson-length", "a document that says it is longer", (len(body) + 9).to_bytes(4, "little") + body[4:]),
        ("bson-negative", "a document of negative length", b"\xff\xff\xff\xff" + body[4:]),
        ("bson-type", "an element of no type", body.replace(b"\x02tenant\0", b"\x7atenant\0", 1)),
        ("bson-string", "a string without its end", body.replace(b"osv\0\0", b"osv\1\0", 1)),
    ):
        yield _deep(name, says, A.PARSER_DIFFERENTIAL, 11, published(files() | {OBSERVATIONS: spoilt}))


def _meddled() -> Iterator[Case]:
    base = published()
    changes: list[tuple[str, str, list[Document], dict[str, Any]]] = [
        (
            "append-edits",
            "a step that edits what it says it only appended to",
            [AFTER[0] | {"tenant": "acme2"}, *AFTER[1:]],
            {},
        ),
        ("append-order", "a step that reorders documents", [AFTER[1], AFTER[0], AFTER[2]], {}),
        ("append-removes", "a step that drops a document", [AFTER[0], AFTER[1]], {"runs": (0, 2)}),
        ("append-elsewhere", "a step that appends where it says it did not", [*AFTER[:2], complete(BEFORE[2])], {}),
        ("append-other-element", "a step that appends another element", [BEFORE[0] | {"other": 1}, *AFTER[1:]], {}),
    ]
    for name, says, after, more in changes:
        meddled = step(base, {OBSERVATIONS: encoded(after)}, **more)
        yield _deep(name, says, A.ARBITRARY_SOFTWARE, 2, meddled, trust="both")
    silent = step(base, {OBSERVATIONS: encoded(AFTER)}, statement_changes={"documents": ...})
    yield _deep(
        "append-silent",
        "a step that does not say which documents it changed",
        A.ARBITRARY_SOFTWARE,
        11,
        silent,
        trust="both",
    )


def _excessive() -> Iterator[Case]:
    """Give steps that say they only append, and do more to the manifest."""
    base, after = published(), {OBSERVATIONS: encoded(AFTER)}

    def of(name: str, says: str, kit: Members, code: int = 11, **more: Any) -> Case:
        return _deep(name, says, A.ARBITRARY_SOFTWARE, code, kit, **({"trust": "both"} | more))

    forged = {"dump-b/concelier/advisory_observations.bson": encoded([complete(observation(9))])}
    yield of("append-adds-advisories", "a step that adds a part of a collection", step(base, after | forged))
    yield of("append-adds-plugin", "a step that adds a file", step(base, after | {"plugins/hook.so": b"x"}))
    yield of("append-changes-file", "a step that changes another file", step(base, after | {"README.txt": b"other\n"}))
    for name, changes in (
        ("version", {"version": "2099.9"}),
        ("window", {"stalenessWindowHours": 9_999_999}),
        ("unknown-field", {"approved": True}),
    ):
        reworded = step(base, after, manifest_changes=changes)
        yield of(f"append-rewords-{name}", f"a step that changes the manifest's {name}", reworded)
    kinds = manifest(files() | after)["files"]
    kinds[0]["kind"] = "exception"
    yield of(
        "append-rewords-entry",
        "a step that changes a file's kind",
        step(base, after, manifest_changes={"files": kinds}),
    )
    first = step(base, {"plugins/hook.so": b"x"})
    below = step(first, after, by="site-b", at=LATER)
    yield of("append-adds-below", "a step that adds a file, an honest one after it", below, trust="three")
    edited = [BEFORE[0] | {"tenant": "acme2"}, complete(BEFORE[1]), BEFORE[2]]
    first = step(base, {OBSERVATIONS: encoded(edited)}, runs=(1, 1, 1))
    second = step(
        first, {OBSERVATIONS: encoded([complete(edited[0]), *edited[1:]])}, by="site-b", at=LATER, runs=(0, 1, 2)
    )
    yield of("append-edits-below", "a step that edits a document, an honest one after it", second, 2, trust="three")
    counted = step(base, after, statement_changes={"counts": {"raw-linkset.content": 3}})
    yield of("append-counts", "a step that counts more documents than it names", counted)


def _coverage() -> Iterator[Case]:
    yield _deep(
        "coverage-missing",
        "rawLinkset missing from an observation",
        A.PREMATURE_SWITCH,
        11,
        patched(),
        8,
        trust="both",
        needs={"coverage": True},
    )
    sound = AFTER[0]["rawLinkset"]
    for name, says, changes in (
        ("coverage-null", "a rawLinkset that is null", {"rawLinkset": None}),
        ("coverage-text", "a rawLinkset that is a text", {"rawLinkset": "done"}),
        ("coverage-empty", "a rawLinkset without its elements", {"rawLinkset": {}}),
        ("coverage-foreign", "a rawLinkset with an element that it has not", {"rawLinkset": sound | {"more": []}}),
        ("coverage-order", "a rawLinkset in another order", {"rawLinkset": dict(reversed(sound.items()))}),
        ("coverage-no-linkset", "an observation whose canonical linkset is null", {"linkset": None}),
    ):
        kit = published(files((AFTER[0], AFTER[1] | changes)))
        yield _deep(name, says, A.PREMATURE_SWITCH, 11, kit, 8, needs={"coverage": True})
    yield _deep(
        "coverage-nothing",
        "no observations at all",
        A.PREMATURE_SWITCH,
        11,
        published({"README.txt": b"x"}),
        8,
        needs={"coverage": True},
    )


def _encrypted() -> Iterator[Case]:
    for name, says, attack, code, body in (
        ("half-encrypted", "a document of which one field is plaintext", A.DISCLOSURE, 11, HALF_ENCRYPTED),
        ("not-encrypted", "a document in plaintext", A.DISCLOSURE, 11, PLAIN),
        ("envelope-malformed", "an envelope with a short nonce", A.ARBITRARY_SOFTWARE, 5, MALFORMED),
        ("envelope-displaced", "an envelope of another context", A.MIX_AND_MATCH, 5, DISPLACED),
    ):
        kit = published(files() | {NOTES: body})
        yield refused(name, says, attack, code, 7, kit, needs={"fields": "notelett"}, script=None)
