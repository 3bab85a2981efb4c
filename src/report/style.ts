// The look of the report: one style sheet, light and dark, screen and paper. No font, image or script is loaded.
// It does NOT know what is reported.

export const STYLE = `
:root { color-scheme: light dark; --paper: #fdfdfb; --ink: #1d2326; --soft: #5d686e; --line: #dfe3e0; --panel: #f4f5f1;
  --good: #17774a; --bad: #b3362c;
  --c0: #7a8791; --c1: #2f6fb5; --c2: #c8620f; --c3: #6b4fa8; --c4: #1f8a70; --c5: #b0356e; }
@media (prefers-color-scheme: dark) { :root { --paper: #15191c; --ink: #e6e9e7; --soft: #98a3a8; --line: #2f373b;
  --panel: #1c2226; --good: #5cc792; --bad: #ef8277;
  --c0: #98a3ac; --c1: #6aa7e8; --c2: #f0964a; --c3: #a78fe0; --c4: #56c2a6; --c5: #e57aac; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 15px/1.55 system-ui, "Segoe UI", "DejaVu Sans", sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 2.5rem 1.5rem 4rem; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .3rem; letter-spacing: -.015em; }
h2 { font-size: 1.2rem; margin: 2.8rem 0 .6rem; padding-top: 1rem; border-top: 1px solid var(--line); }
h3 { font-size: 1rem; margin: 1.4rem 0 .4rem; }
p { margin: .5rem 0; max-width: 46rem; }
.lead, .soft, caption { color: var(--soft); }
.headline { display: grid; grid-template-columns: repeat(auto-fit, minmax(210px, 1fr)); gap: .9rem; margin: 1.4rem 0; }
.card { background: var(--panel); border: 1px solid var(--line); border-radius: 8px; padding: .8rem 1rem; }
.card b { display: block; font-size: 1.5rem; font-variant-numeric: tabular-nums; letter-spacing: -.01em; }
.card span { color: var(--soft); font-size: .85rem; display: block; }
table { border-collapse: collapse; width: 100%; margin: .8rem 0; font-size: .9rem; font-variant-numeric: tabular-nums; }
caption { caption-side: bottom; text-align: left; padding-top: .5rem; font-size: .85rem; }
th, td { padding: .35rem .5rem; border-bottom: 1px solid var(--line); text-align: right; vertical-align: top; }
th:first-child, td:first-child { text-align: left; white-space: nowrap; }
thead th { color: var(--soft); font-weight: 600; border-bottom: 2px solid var(--line); }
tr.strong td { font-weight: 650; }
td small, th small { color: var(--soft); display: block; font-weight: 400; white-space: nowrap; }
th { overflow-wrap: break-word; }
.figures td { white-space: nowrap; } tr.group th { padding-top: .9rem; }
.scroll { overflow-x: auto; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(340px, 1fr)); gap: 1rem; }
figure { margin: 0; background: var(--panel); border: 1px solid var(--line); border-radius: 8px; padding: .7rem .8rem .5rem; break-inside: avoid; }
figure.wide { margin: 1rem 0; }
figcaption { font-weight: 600; font-size: .9rem; margin-bottom: .2rem; }
svg { display: block; width: 100%; height: auto; }
svg text { font: 11px system-ui, "DejaVu Sans", sans-serif; fill: var(--soft); }
svg text.name { fill: var(--ink); font-size: 12px; }
.grid { stroke: var(--line); stroke-width: 1; }
.axis { stroke: var(--soft); stroke-width: 1; }
.level { stroke: var(--soft); stroke-width: 1; stroke-dasharray: 3 4; }
.line { fill: none; stroke: var(--c); stroke-width: 1.8; stroke-linejoin: round; }
.interval { stroke: var(--c); stroke-width: 2.5; opacity: .5; stroke-linecap: round; }
.dot { fill: var(--c); }
.c0 { --c: var(--c0); } .c1 { --c: var(--c1); } .c2 { --c: var(--c2); } .c3 { --c: var(--c3); } .c4 { --c: var(--c4); } .c5 { --c: var(--c5); }
.legend { display: flex; flex-wrap: wrap; gap: .2rem 1rem; margin: .35rem 0 .1rem; font-size: .82rem; color: var(--soft); }
.key::before { content: ""; display: inline-block; width: .7em; height: .7em; border-radius: 50%; background: var(--c); margin-right: .4em; }
.good { color: var(--good); } .bad { color: var(--bad); }
.example { border: 1px solid var(--line); border-radius: 8px; margin: 1rem 0; overflow: hidden; break-inside: avoid; }
.example > header { background: var(--panel); padding: .6rem .9rem; border-bottom: 1px solid var(--line); }
.example > header p { margin: .2rem 0 0; white-space: pre-wrap; }
.answers { display: grid; grid-template-columns: repeat(auto-fit, minmax(240px, 1fr)); }
.answers > div { padding: .6rem .9rem; border-right: 1px solid var(--line); }
.answers > div:last-child { border-right: 0; }
pre { margin: .3rem 0 0; font: 12.5px/1.5 ui-monospace, "DejaVu Sans Mono", monospace; white-space: pre-wrap; overflow-wrap: anywhere; }
details { margin: .6rem 0; } summary { cursor: pointer; color: var(--soft); }
footer { margin-top: 3rem; color: var(--soft); font-size: .85rem; }
@media print { :root { --paper: #fff; --ink: #000; --soft: #444; --line: #ccc; --panel: #fff; }
  main { max-width: none; padding: 0; } h2 { break-after: avoid; } body { font-size: 10.5pt; }
  .plots { grid-template-columns: 1fr 1fr; } details > summary { display: none; } }
`;
