"""The lineage of a kit as a picture in the page (SVG): one box per generation, one arrow per step.

It fits a narrow column, so that a telephone need not scroll and paper need not be turned. Text that does not fit is cut
with an ellipsis; the table next to the picture has all of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kit.ops.chain import PUBLISHED, Link
from kit.reports.html import Html, element
from kit.reports.spelling import printable

_WIDTH, _BOX, _STEP, _MARGIN = 520, 62, 54, 2
_MAX_TEXT = 62
_MAX_SHOWN = 12
_FIRST_SHOWN = 2


def lineage_picture(links: Sequence[Link], labels: Mapping[str, str]) -> Html:
    """Return a picture of the generations, oldest first; ``labels`` are the names of keys by id.

    A generation or step that is not proven has a broken outline and a label. The middle of a long lineage is omitted.
    """
    left_out = max(0, len(links) - _MAX_SHOWN)
    shown = [*links[:_FIRST_SHOWN], *links[_FIRST_SHOWN + left_out :]] if left_out else list(links)
    parts: list[Html] = []
    y = _MARGIN
    for number, link in enumerate(shown):
        if number:
            omission = f"… {left_out:,} generations between …" if left_out and number == _FIRST_SHOWN else None
            parts += _arrow(y, link, labels, omission)
            y += _STEP
        parts += _box(y, link, labels, current=link is links[-1])
        y += _BOX
    height = y + _MARGIN
    label = f"{len(links)} generations, oldest first, one below the other, with a step between each two"
    return element(
        "svg",
        parts,
        role="img",
        aria_label=label if len(links) > 1 else "One generation, as it was published",
        viewBox=f"0 0 {_WIDTH} {height}",
        width=_WIDTH,
        height=height,
    )


def _box(y: int, link: Link, labels: Mapping[str, str], *, current: bool) -> list[Html]:
    kind = "box now" if current else "box"
    outline = element(
        "rect",
        x=_MARGIN,
        y=y,
        width=_WIDTH - 2 * _MARGIN,
        height=_BOX,
        class_=kind if link.signers else f"{kind} doubt",
    )
    name = f"Generation {link.generation}" + (", the kit as it is" if current else "")
    at = f"{link.made_at}" if link.made_at is not None else "time not proven"
    signed = f"signed by {_named(link.signers, labels)}" if link.signers else "signature not proven"
    return [
        outline,
        _text(14, y + 19, name, class_="strong"),
        _text(_WIDTH - 14, y + 19, at, class_="soft", anchor="end"),
        _text(14, y + 36, signed),
        _text(14, y + 53, f"manifest {link.manifest_sha256.hex[:32]}…", class_="soft"),
    ]


def _arrow(y: int, link: Link, labels: Mapping[str, str], omission: str | None) -> list[Html]:
    x, end = 30, y + _STEP
    line = element("path", d=f"M{x} {y}V{end - 7}", class_="arrow" if link.proven else "arrow doubt")
    head = element("path", d=f"M{x - 4} {end - 8}H{x + 4}L{x} {end}Z", class_="head")
    what = ", ".join(link.transforms) or link.operation
    if link.operation != PUBLISHED and link.transforms:
        what = f"{link.operation}: {what}"
    signed = f"statement signed by {_named(link.statement_signers, labels)}"
    signature = signed if link.statement_signers else "statement not proven"
    return [
        line,
        head,
        _text(46, y + 23, omission or f"{what}, with {link.tool}"),
        _text(46, y + 40, "see the table below" if omission else signature, class_="soft"),
    ]


def _named(key_ids: Sequence[str], labels: Mapping[str, str]) -> str:
    return ", ".join(labels.get(key_id, key_id) for key_id in key_ids)


def _text(x: int, y: int, text: str, *, class_: str | None = None, anchor: str | None = None) -> Html:
    cut = text
    while len(printable(cut)) > _MAX_TEXT:  # escaped, as it is shown
        cut = f"{cut[: min(len(cut), _MAX_TEXT) - 2]}…"
    return element("text", cut, x=x, y=y, class_=class_, text_anchor=anchor)
