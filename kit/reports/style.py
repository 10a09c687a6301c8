"""The style of all HTML reports: black on white, without external fonts or pictures, for screen and paper."""

STYLE = """\
:root { --ink: #111; --soft: #555; --rule: #bbb; --hair: #ddd; --paper: #fff; }
* { box-sizing: border-box; }
html { background: var(--paper); -webkit-text-size-adjust: 100%; }
body { margin: 0; color: var(--ink); font: 15px/1.5 "Helvetica Neue", Helvetica, Arial, "Liberation Sans", sans-serif;
  direction: ltr; }
main { max-width: 58rem; margin: 0 auto; padding: 2.5rem 1.5rem 4rem; }
h1, h2, h3 { line-height: 1.25; margin: 0; overflow-wrap: anywhere; }
h1 { font-size: 1.75rem; font-weight: 600; }
h2 { font-size: 1.1rem; font-weight: 600; margin: 0 0 .75rem; }
h3 { font-size: 1rem; font-weight: 600; }
dl + h3, figure + h3 { margin-top: 1.1rem; }
p { margin: 0 0 .75rem; overflow-wrap: anywhere; }
section { margin-top: 2.25rem; padding-top: .9rem; border-top: 1px solid var(--ink); }
small, .soft { color: var(--soft); font-size: .87em; }
.kicker { margin: 0 0 .35rem; color: var(--soft); font-size: .87rem; }
code { font: .87em/1.45 "DejaVu Sans Mono", Menlo, Consolas, "Liberation Mono", monospace; overflow-wrap: anywhere;
  unicode-bidi: isolate; }
.whole { white-space: nowrap; }
h1 code { font-size: 1em; }

.verdict { margin: 1.25rem 0 0; padding: 1rem 1.25rem; border: 2px solid var(--ink); }
.verdict > :last-child { margin-bottom: 0; }
.verdict .word { margin: 0 0 .35rem; font-size: 1.5rem; font-weight: 700; line-height: 1.2; }
.verdict.against { border-width: 1px 1px 1px 10px; }

dl { margin: 0; }
dl > div { display: grid; grid-template-columns: 11rem 1fr; gap: 0 1rem; padding: .3rem 0;
  border-bottom: 1px solid var(--hair); }
dl > div:last-child { border-bottom: 0; }
dt { color: var(--soft); }
dd { margin: 0; min-width: 0; overflow-wrap: anywhere; unicode-bidi: isolate; }
dd > div + div { margin-top: .2rem; }

.wide { overflow-x: auto; margin: 0 0 .75rem; }
table { border-collapse: collapse; width: 100%; font-size: .93rem; font-variant-numeric: tabular-nums; }
th, td { padding: .35rem .9rem .35rem 0; border-bottom: 1px solid var(--hair); text-align: left; vertical-align: top;
  overflow-wrap: anywhere; unicode-bidi: isolate; }
thead th { border-bottom: 1px solid var(--ink); color: var(--soft); font-weight: 400; overflow-wrap: normal;
  vertical-align: bottom; }
tbody th { font-weight: 400; min-width: 8rem; }
th:last-child, td:last-child { padding-right: 0; }
th.number, td.number { text-align: right; white-space: nowrap; overflow-wrap: normal; }
table.inner { font-size: .87rem; margin: .4rem 0; }

.obligation { display: grid; grid-template-columns: 1fr 7rem; gap: 0 1rem; padding: .65rem 0 .65rem .75rem;
  border-bottom: 1px solid var(--hair); border-left: 8px solid transparent; }
.obligation:last-child { border-bottom: 0; }
.obligation h3 { grid-column: 1; padding-left: 1.5rem; position: relative; }
.obligation .count { position: absolute; left: 0; font-weight: 400; color: var(--soft); }
.obligation .state { grid-column: 2; text-align: right; white-space: nowrap; }
.obligation .body { grid-column: 1 / -1; padding-left: 1.5rem; min-width: 0; }
.obligation .body p { margin: .1rem 0 0; }
.obligation.failed { border-left-color: var(--ink); }
.obligation.failed .state { font-weight: 700; }

svg { display: block; max-width: 100%; }
svg text { font-family: "Helvetica Neue", Helvetica, Arial, "Liberation Sans", sans-serif; font-size: 13px;
  fill: #111; }
svg .strong { font-weight: 600; }
svg .soft { fill: #555; font-size: 12px; }
svg .box { fill: #fff; stroke: #111; stroke-width: 1; }
svg .box.now { stroke-width: 2.5; }
svg .doubt { stroke-dasharray: 5 4; }
svg .arrow { fill: none; stroke: #111; stroke-width: 1; }
svg .head { fill: #111; }
svg.bar { width: 9rem; min-width: 5rem; height: .8rem; margin-top: .3rem; }
svg.bar .filled { fill: #444; }
svg.bar .frame { fill: none; stroke: #111; stroke-width: 1; vector-effect: non-scaling-stroke; }
figure { margin: 0 0 1rem; }
figcaption { color: var(--soft); font-size: .87rem; margin-top: .4rem; }

footer { margin-top: 2.5rem; padding-top: .75rem; border-top: 1px solid var(--rule); color: var(--soft);
  font-size: .87rem; }

@media (max-width: 40rem) {
  body { font-size: 14px; }
  main { padding: 1.25rem 1rem 2.5rem; }
  h1 { font-size: 1.35rem; }
  dl > div { grid-template-columns: 1fr; }
  svg.bar { width: 5rem; }
  table.inner { min-width: 30rem; }
}
@page { margin: 18mm 16mm; }
@media print {
  body { font-size: 9.5pt; }
  main { max-width: none; padding: 0; }
  .wide { overflow: visible; }
  section { margin-top: 1.4rem; }
  h2, h3 { break-after: avoid; }
  tr, figure, .verdict, dl > div, .obligation { break-inside: avoid; }
  thead { display: table-header-group; }
  svg, .verdict { -webkit-print-color-adjust: exact; print-color-adjust: exact; }
}
"""
