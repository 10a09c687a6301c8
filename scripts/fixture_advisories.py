"""Made-up advisories of a made-up harbour, in the four formats that kits carry; nothing here was published by anyone.

Each advisory starts from facts, the values in upstream order, and is rendered both ways: ``raw``, the document a vendor
would have published, and ``linkset``, the canonical projection a platform would have stored. Both are made without any
code of kit's, so that what a patch derives from ``raw`` can be compared with the facts it was made of.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

_GEAR = ("anchor", "bollard", "capstan", "derrick", "ebb-gauge", "fender", "gangway", "halyard", "jetty", "keel-log")
_LETTERS = "23456789cfghjmpqrvwx"
"""The alphabet of GHSA identifiers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What an advisory says, verbatim and in the order in which its format gives it."""

    aliases: tuple[str, ...]
    """The advisory's own identifier first."""
    purls: tuple[str, ...] = ()
    cpes: tuple[str, ...] = ()
    references: tuple[tuple[str, str], ...] = ()
    """(type, url)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Advisory:
    """One advisory as its vendor publishes it, and as a platform projects it."""

    vendor: str
    format: str
    spec_version: str
    facts: Facts
    raw: Mapping[str, Any]

    @property
    def id(self) -> str:
        """The identifier its vendor gives it."""
        return self.facts.aliases[0]

    @property
    def content_hash(self) -> str:
        """Digest of the published document."""
        return "sha256:" + hashlib.sha256(json.dumps(self.raw, sort_keys=True).encode()).hexdigest()

    @property
    def linkset(self) -> dict[str, Any]:
        """The canonical projection: lower-cased, de-duplicated, sorted."""
        kinds = {url: kind for kind, url in reversed(self.facts.references)}
        return {
            "aliases": sorted({alias.lower() for alias in self.facts.aliases}),
            "purls": sorted({purl.partition("?")[0].lower() for purl in self.facts.purls}),
            "cpes": sorted({_canonical_cpe(cpe) for cpe in self.facts.cpes}),
            "references": [{"type": kinds[url].lower(), "url": url} for url in sorted(kinds)],
        }


def osv(number: int) -> Advisory:
    """Make an OSV 1.x advisory; every third repeats an alias, every other has a purl with qualifiers."""
    gear = _GEAR[number % len(_GEAR)]
    own = f"HARBOR-2099-{number:04}"
    repeated = (f"CVE-2099-{10_000 + number}",) if number % 3 == 0 else ()
    facts = Facts(
        aliases=(own, f"CVE-2099-{10_000 + number}", _ghsa(number), *repeated),
        purls=(
            f"pkg:npm/%40harbor/{gear}@{number}.0.0{'?uuid=4c-' + str(number) if number % 2 else ''}",
            f"pkg:PyPI/harbor-{gear}@0.{number}",
        ),
        cpes=(f"cpe:2.3:a:Harbor:{gear.title()}:{number}.0:*:*:*:*:*:*:*",),
        references=(
            ("FIX", f"https://code.harbor.example/{gear}/pull/{number}"),
            ("ADVISORY", f"https://notices.harbor.example/{own}"),
            ("WEB", f" https://log.harbor.example/{number}?q=two  blanks "),
            ("ADVISORY", f"https://notices.harbor.example/{own}"),
        ),
    )
    affected = [
        {
            "package": {"ecosystem": "npm", "name": gear, "purl": purl},
            "ranges": [{"type": "SEMVER", "events": [{"introduced": "0"}, {"fixed": f"{number}.0.1"}]}],
        }
        for purl in facts.purls
    ]
    raw = {
        "schema_version": "1.6.0",
        "id": own,
        "modified": "2099-03-01T00:00:00Z",
        "summary": f"The {gear} lets go when two ships moor at once",
        "aliases": list(facts.aliases[1:]),
        "related": [f"HARBOR-2098-{number:04}"],
        "affected": affected,
        "database_specific": {"cpes": list(facts.cpes), "$note": "a key with a dollar", "a.b": "and one with a dot"},
        "references": [{"type": kind, "url": url} for kind, url in facts.references],
    }
    return Advisory(vendor="harbor-osv", format="OSV", spec_version="1.6.0", facts=facts, raw=raw)


def csaf(number: int) -> Advisory:
    """Make a CSAF 2.0 advisory with one vulnerability and a product tree of two levels."""
    gear = _GEAR[number % len(_GEAR)]
    own = f"TIDE-SA-{number:03}"
    facts = Facts(
        aliases=(own, f"Tide Watch {number}", f"CVE-2099-{20_000 + number}"),
        purls=(f"pkg:deb/tide/{gear}@{number}.1-1?arch=amd64", f"pkg:rpm/tide/{gear}@{number}.1-1"),
        cpes=(f"cpe:/a:tide:{gear}:{number}.1", f"cpe:2.3:o:tide:dockos:{number}:*:*:*:*:*:*:*"),
        references=(
            ("self", f"https://tide.example/csaf/{own.lower()}.json"),
            ("external", f"https://tide.example/bulletin/{number}"),
            ("external", f"https://cve.example/CVE-2099-{20_000 + number}"),
        ),
    )
    products = [
        {
            "category": "product_version",
            "name": f"{gear} {place}",
            "product": {
                "name": f"{gear} {place}",
                "product_id": f"P-{place}",
                "product_identification_helper": {"purl": purl, "cpe": cpe},
            },
        }
        for place, (purl, cpe) in enumerate(zip(facts.purls, facts.cpes, strict=True))
    ]
    listed = [{"category": kind, "summary": "see there", "url": url} for kind, url in facts.references]
    raw = {
        "document": {
            "category": "csaf_security_advisory",
            "csaf_version": "2.0",
            "title": f"Tide Watch: {gear} under load",
            "tracking": {"id": own, "aliases": [facts.aliases[1]], "version": "1", "status": "final"},
            "references": listed[:2],
        },
        "product_tree": {"branches": [{"category": "vendor", "name": "Tide", "branches": products}]},
        "vulnerabilities": [{"cve": facts.aliases[2], "references": listed[2:]}],
    }
    return Advisory(vendor="tide-csaf", format="CSAF", spec_version="2.0", facts=facts, raw=raw)


def cve(number: int) -> Advisory:
    """Make a CVE JSON 5.1 record whose second container repeats a reference, as most do."""
    gear = _GEAR[number % len(_GEAR)]
    own = f"CVE-2099-{30_000 + number}"
    page = f"https://lighthouse.example/{gear}/{number}"
    facts = Facts(
        aliases=(own,),
        purls=(f"pkg:golang/lighthouse.example/{gear}@v0.{number}.0",),
        cpes=(f"cpe:2.3:h:lighthouse:{gear}:{number}:*:*:*:*:*:*:*",) * 2,
        references=(("vendor-advisory", page), ("reference", f"{page}#beam"), ("x_transferred", page)),
    )
    tagged = [{"url": url} | ({"tags": [kind]} if kind != "reference" else {}) for kind, url in facts.references]
    raw = {
        "dataType": "CVE_RECORD",
        "dataVersion": "5.1",
        "cveMetadata": {"cveId": own, "state": "PUBLISHED"},
        "containers": {
            "cna": {
                "providerMetadata": {"orgId": "00000000-0000-4000-8000-000000000000", "shortName": "lighthouse"},
                "affected": [{"vendor": "lighthouse", "packageURL": facts.purls[0], "cpes": list(facts.cpes)}],
                "references": tagged[:2],
            },
            "adp": [{"providerMetadata": {"shortName": "buoy-adp"}, "references": tagged[2:]}],
        },
    }
    return Advisory(vendor="lighthouse-cve", format="cve5", spec_version="5.1", facts=facts, raw=raw)


def ghsa(number: int) -> Advisory:
    """Make a GHSA document as the REST API gives it; it names its identifiers twice."""
    own, other = _ghsa(100 + number), f"CVE-2099-{40_000 + number}"
    facts = Facts(
        aliases=(own, other, own, other),
        references=(
            ("reference", f"https://buoy.example/{number}"),
            ("reference", f"https://advisories.buoy.example/{own}"),
        ),
    )
    raw = {
        "ghsa_id": own,
        "cve_id": other,
        "summary": f"Buoy {number} drifts",
        "identifiers": [{"type": "GHSA", "value": own}, {"type": "CVE", "value": other}],
        "references": [url for _, url in facts.references],
    }
    return Advisory(vendor="buoy-ghsa", format="GHSA", spec_version="2022-11-28", facts=facts, raw=raw)


MAKERS: Sequence[Callable[[int], Advisory]] = (osv, csaf, cve, ghsa)


def _ghsa(number: int) -> str:
    digits = hashlib.sha256(f"ghsa {number}".encode()).digest()
    letters = "".join(_LETTERS[digit % len(_LETTERS)] for digit in digits[:12])
    return f"GHSA-{letters[:4]}-{letters[4:8]}-{letters[8:]}"


def _canonical_cpe(cpe: str) -> str:
    if not cpe.startswith("cpe:/"):
        return cpe.lower()
    parts = cpe.removeprefix("cpe:/").split(":")
    return ":".join(["cpe", "2.3", *(part for part, _ in zip_longest(parts, range(11), fillvalue="*"))])
