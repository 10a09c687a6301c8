"""Release notes in Markdown: what readers notice between two kits, and no text of a kit that becomes markup."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hypothesis import given, strategies as st

from kit.reports.diff_notes import markdown
from tests import kits
from tests.commands import kit
from tests.end_to_end.desk import Desk
from tests.kits import advisory, observation


class TestNotes:
    def notes(self, desk: Desk, before: list[Any], after: list[Any], *options: object) -> str:
        pair = [desk.kit(kits.content(*side), name=name) for side, name in ((before, "one.tar"), (after, "two.tar"))]
        outcome = kit("diff", *pair, "--workers", 1, "--markdown", *options)
        assert (outcome.code, outcome.err) == (0, ""), outcome
        return outcome.out

    def test_they_list_what_readers_notice(self, desk: Desk) -> None:
        def osv(number: int, tenant: str = "acme", **raw: Any) -> dict[str, Any]:
            return observation(number, tenant, content={"format": "OSV", "raw": advisory(number) | raw})

        fixed = [{"package": {"ecosystem": "Go", "name": "w"}, "versions": [version]} for version in "12"]
        text = self.notes(
            desk,
            [osv(1, affected=fixed[:1]), osv(2), osv(3, summary="Gone")],
            [
                osv(1, affected=fixed[1:]),
                osv(2, withdrawn="2026-01-01"),
                *(osv(4, who, summary="A [new](x) <one>", published="2026-01-02T03:04:05Z") for who in ("acme", "b")),
            ],
        )
        assert text == NOTES

    def test_of_equal_kits_they_state_that(self, desk: Desk) -> None:
        assert self.notes(desk, [observation(1)], [observation(1)]).endswith("\nNo advisory reads differently.\n")

    def test_they_are_complete_unless_limited(self, desk: Desk) -> None:
        old, added = [observation(0)], [observation(number) for number in range(60)]
        assert self.notes(desk, old, added).count("\n| GO-2025-") == 59
        limited = self.notes(desk, old, added, "--limit", 5)
        assert limited.count("\n| GO-2025-") == 5
        assert "\nand 54 more (--limit 59 lists all; so does --json)\n" in limited

    def test_they_and_json_exclude_each_other(self, desk: Desk) -> None:
        path = desk.kit()
        assert kit("diff", path, path, "--markdown", "--json").code == 64

    def test_what_was_encrypted_is_not_in_them(self, desk: Desk) -> None:
        sealed = {"__encrypted": True, "v": 2, "alg": "aes-256-gcm", "ct": "", "iv": "", "tag": "", "dekId": "d"}
        plain = observation(1, content={"raw": advisory(1) | {"summary": "PLAIN"}})
        hidden = observation(1, content={"raw": sealed}, x=1)
        for pair in ((plain, hidden), (hidden, plain)):
            assert "PLAIN" not in self.notes(desk, [pair[0]], [pair[1]])


NOTES = """\
# small 2025.10 stable

What changed from generation 3 of 2025-10-20 (one.tar) to generation 3 of 2025-10-20 (two.tar).

Nothing here is verified; `kit verify` does that.

## Added: 1

| advisory | title | also known as | published |
|---|---|---|---|
| GO-2025-0004 | A \\[new\\]\\(x\\) &lt;one&gt; | CVE-2025-0004, CVE-2025-0004 | 2026-01-02 |

## Changed: 1

| advisory | title | also known as | what changed |
|---|---|---|---|
| GO-2025-0001 | A summary | CVE-2025-0001, CVE-2025-0001 | affected.\\*.versions.\\* |

## Withdrawn by their publisher: 1

| advisory | title | also known as | published |
|---|---|---|---|
| GO-2025-0002 | A summary (withdrawn) | CVE-2025-0002, CVE-2025-0002 | 2025-01-01 |

## Removed: 1

| advisory | title | also known as | published |
|---|---|---|---|
| GO-2025-0003 | Gone | CVE-2025-0003, CVE-2025-0003 | 2025-01-01 |

## Packages that match differently: 4

| package | gained | lost | other versions |
|---|---|---|---|
| Go/w |  |  | GO-2025-0001 |
| pkg:GoLang/example.com/y\\@2 |  | GO-2025-0002 |  |
| pkg:GoLang/example.com/y\\@3 |  | GO-2025-0003 |  |
| pkg:GoLang/example.com/y\\@4 | GO-2025-0004 |  |  |
"""


@given(st.text(max_size=30) | st.text(alphabet="`*_[]()<>#|~!&:/\\\n w.@", max_size=30))
def test_no_text_makes_markup(text: str) -> None:
    shown = markdown(text)
    assert "\n" not in shown
    bare = re.sub(r"\\[!-/:-@\[-`{-~]", ".", shown)
    assert not re.search(r"[`*_\[\]()#+!|~<>{}]|://|www\.", re.sub(r"&(amp|lt|gt);", "", bare), re.IGNORECASE), shown


def test_the_page_has_titles_aliases_and_packages(desk: Desk) -> None:
    pair = desk.kit(kits.content(observation(2)), name="one.tar"), desk.kit(name="two.tar")
    assert kit("diff", *pair, "--html", "page.html").code == 0
    page = Path("page.html").read_text()
    assert "A summary" in page
    assert "Packages that match differently" in page
