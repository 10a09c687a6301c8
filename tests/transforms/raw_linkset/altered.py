"""Documents altered in their structure: what a changed byte seldom makes.

Another type for a looked-at element, a name that is there twice or is another's, a subdocument in another's place, an
item out of its order.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any, TypeAlias

import bson
from hypothesis import strategies as st

from kit.documents import elements
from kit.transforms.raw_linkset import registry
from kit.transforms.raw_linkset.projection import EMPTY
from tests.documents.strategies import int32, string
from tests.kits import advisory, canonical_linkset, observation

Tree: TypeAlias = "list[tuple[int, bytes, bytes | Tree]]"

NESTING = {3, 4}
ODD: list[tuple[int, bytes | Tree]] = [
    *((kind, bytes(size)) for kind, size in {1: 8, 6: 0, 7: 12, 9: 8, 10: 0, 16: 4, 17: 8, 18: 8, 19: 16}.items()),
    *((kind, b"") for kind in (127, 255)),
    *((8, byte) for byte in (b"\0", b"\1", b"\2")),
    *((2, string(text)) for text in ("", "a", "A", "a\0b", "é" * 9, "5.", "1.0", "OSV", "cve")),
    *((2, int32(2) + bad) for bad in (b"\xff\0", b"ab")),
    *((kind, string("a")) for kind in (13, 14)),
    (5, int32(3) + b"\0abc"),
    (5, int32(7) + b"\2" + int32(3) + b"abc"),
    (11, b"a\0i\0"),
    (12, string("db") + bytes(12)),
    (15, int32(15) + string("c") + int32(5) + b"\0"),
    (3, []),
    (4, []),
    (3, [(2, b"url", string("u"))]),
    (4, [(2, b"0", string("v"))]),
    (4, [(2, b"1", string("v"))]),
    (4, [(2, b"00", string("v"))]),
    (4, [(2, b"0", string("v")), (2, b"0", string("w"))]),
    (4, [(4, b"0", [(2, b"0", string("v"))])]),
]
NAMES = (
    b"\0$ref\0a.b\0\xff\0\xc3\xa9\0url\0type\x000\x001\0aliases\0purls\0references\0tenant\0rawLinkset\0linkset\0content"
    b"\0raw\0format\0source\0upstream\0vendor\0upstreamId\0upstream_id\0contentHash\0content_hash\0__encrypted\0id\0notes"
    b"\0scopes\0reconciled_from\0reconciledFrom\0identifiers\0cna\0adp\0affected\0tags\0cpes\0database_specific\0cveId"
    b"\0x_y\0branches\0product\0product_identification_helper\0full_product_name\0purl\0cpe\0text\0tracking\0ghsa_id"
).split(b"\0")


def tree_of(data: bytes, start: int = 0) -> Tree:
    return [
        (kind, name, tree_of(data, value) if kind in NESTING else data[value:end])
        for name, _, kind, value, end in elements(data, start)
    ]


def bytes_of(tree: Tree) -> bytes:
    body = b"".join(
        bytes([kind]) + name + b"\0" + (bytes_of(value) if isinstance(value, list) else value)
        for kind, name, value in tree
    )
    return int32(len(body) + 5) + body + b"\0"


def levels(tree: Tree) -> list[Tree]:
    return [tree, *(level for _, _, value in tree if isinstance(value, list) for level in levels(value))]


def alter(tree: Tree, data: st.DataObject) -> None:
    """Do one thing to one element of one level, upper ones more often."""
    there = levels(tree)
    level = there[data.draw(st.integers(0, 5) | st.integers(0, 1000)) % len(there)]
    at = data.draw(st.integers(0, 100)) % (len(level) + 1)
    kind, value = deepcopy(data.draw(st.sampled_from(ODD)))
    if at == len(level):
        level.append((kind, data.draw(st.sampled_from(NAMES)), value))
        return
    met, name, known = level[at]
    match data.draw(st.integers(-2, 6)):
        case -2 | -1 | 0:
            level[at] = (kind, name, value)
        case 1:
            level.append((kind, name, value))
        case 2:
            level.insert(at, level[at])
        case 3:
            level[at] = (met, data.draw(st.sampled_from(NAMES)), known)
        case 4:
            del level[at]
        case 5:
            other = data.draw(st.integers(0, 100)) % len(level)
            level[at], level[other] = level[other], level[at]
        case _ if isinstance(known, list) and met == 4:
            count = data.draw(st.sampled_from([2, 17, 70]))
            level[at] = (4, name, [(k, b"%d" % n, v) for n, (k, _, v) in enumerate((known * count)[:count])])
        case _:
            level[at] = (data.draw(st.sampled_from([2, 3, 4, 5, 10, 13, 16])), name, known)


def altered(document: dict[str, Any], data: st.DataObject) -> bytes:
    tree = tree_of(bson.encode(document))
    for _ in range(data.draw(st.integers(0, 2))):
        alter(tree, data)
    return bytes_of(tree)


def record(number: int) -> dict[str, Any]:
    container = {
        "providerMetadata": {"shortName": "s"},
        "alternateIds": ["A"],
        "affected": [{"packageURL": "pkg:npm/a", "cpes": ["cpe:2.3:a:b:c"]}],
        "cpeApplicability": [{"nodes": [{"cpeMatch": [{"criteria": "cpe:2.3:a:b:d"}]}]}],
        "references": [{"url": "u", "tags": ["t"]}],
    }
    metadata = {"cveId": f"CVE-{number}"}
    return {"dataVersion": "5.1", "cveMetadata": metadata, "containers": {"cna": container, "adp": [container]}}


def csaf(number: int) -> dict[str, Any]:
    helper = {"purl": "pkg:npm/a", "purls": ["pkg:npm/b"], "cpe": "cpe:2.3:a:b:c"}
    product = {"name": "n", "product_id": "p", "product_identification_helper": helper}
    path = {"full_product_name": product}
    return {
        "document": {
            "csaf_version": "2.0",
            "title": "t",
            "tracking": {"id": f"CSAF-{number}", "aliases": ["A"], "status": "final"},
            "references": [{"url": "u", "category": "self"}],
        },
        "product_tree": {
            "branches": [{"category": "vendor", "name": "v", "branches": [{"name": "b", "product": product}]}],
            "full_product_names": [product],
            "relationships": [path | {"category": "installed_on"}],
            "product_paths": [path],
        },
        "vulnerabilities": [{"cve": "CVE-1", "ids": [{"text": "ID-1"}], "references": [{"url": "w"}], "title": "t"}],
    }


def ghsa(number: int) -> dict[str, Any]:
    identifiers = [{"type": "GHSA", "value": f"GHSA-{number}"}]
    references = ["u", {"url": "w"}]
    return {"ghsa_id": f"GHSA-{number}", "cve_id": "CVE-1", "identifiers": identifiers, "references": references}


def agreeing(stated: str, raw: dict[str, Any]) -> dict[str, Any]:
    """Return the linkset of what the reference extracts."""
    extractor = registry.load().for_format(stated)
    projection = extractor.extract(raw).projection if extractor is not None else EMPTY
    return {
        "aliases": [*projection.aliases],
        "purls": [*projection.purls],
        "cpes": [*projection.cpes],
        "references": [{"url": reference.url} for reference in projection.references],
    }


def described(number: int, stated: str, raw: dict[str, Any]) -> dict[str, Any]:
    return observation(number, content={"format": stated, "raw": raw}, linkset=agreeing(stated, raw))


def observed(number: int) -> dict[str, Any]:
    match number % 4:
        case 0:
            linkset = canonical_linkset(number) | {"cpes": ["cpe:2.3:a:b:c", "cpe:2.3:a:b:d"], "purls": ["pkg:npm/a"]}
            linkset |= {"aliases": [f"cve-{number}", "a"], "references": [{"url": "u"}]}
            return observation(number, content={"format": "cve", "raw": record(number)}, linkset=linkset)
        case 1:
            package = {"package": {"purl": f"pkg:golang/example.com/y@{number}"}, "database_specific": {"cpes": ["c"]}}
            return observation(number, raw=advisory(number, affected=[package], upstream=["U"], related=["R"]))
        case 2:
            return described(number, "CSAF 2.0", csaf(number))
        case _:
            return described(number, "ghsa", ghsa(number))


NUMBERS = st.integers(0, 3)
