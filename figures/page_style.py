"""How every page looks: one style sheet, light and dark, for screens, phones and paper.

Verdicts differ by sign, word and border, so that colour is not needed; the colours of texts keep a contrast of at
least 4.5 to 1 on their ground in both schemes.
"""

from __future__ import annotations

STYLE = """
:root { color-scheme: light dark; --paper: #ffffff; --ink: #1b2026; --soft: #525b66; --line: #dbe0e6;
  --wash: #f5f7f9; --link: #0a4f9e; --smooth: #0b5239; --smooth-bg: #e4f2eb; --lipschitz: #694600;
  --lipschitz-bg: #fcf0d6; --unprincipled: #8a1e10; --unprincipled-bg: #fbe7e3; --undecided: #3b424b;
  --undecided-bg: #ebedf0; }
@media screen and (prefers-color-scheme: dark) { :root { --paper: #14181d; --ink: #e6e9ed; --soft: #aab3bd;
  --line: #343c46; --wash: #1c2228; --link: #86bbff; --smooth: #8fdcb8; --smooth-bg: #11352a; --lipschitz: #f2cd7f;
  --lipschitz-bg: #3b2f10; --unprincipled: #f6ab9f; --unprincipled-bg: #451d17; --undecided: #d3d8de;
  --undecided-bg: #2c333b; } }
* { box-sizing: border-box; }
[hidden] { display: none !important; }
html { scroll-behavior: smooth; scroll-padding-top: 4rem; }
body { margin: 0; background: var(--paper); color: var(--ink); overflow-wrap: break-word;
  font: 16px/1.6 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
main, .top > div, nav ul, footer p { max-width: 80rem; margin-inline: auto; padding-inline: 1.5rem; }
main { padding-bottom: 5rem; }
h1, h2, h3, h4 { line-height: 1.2; text-wrap: balance; font-weight: 650; letter-spacing: -0.011em; }
a { color: var(--link); text-underline-offset: 0.15em; text-decoration-thickness: 0.06em; }
:focus-visible { outline: 3px solid var(--link); outline-offset: 2px; border-radius: 2px; }
main:focus { outline: none; }
code { font: 0.86em/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; }
.skip { position: absolute; left: -100vw; background: var(--paper); padding: 0.5rem 1rem; z-index: 3; }
.skip:focus { left: 0.5rem; top: 0.5rem; }

/* head and navigation */
.top { background: var(--wash); border-bottom: 1px solid var(--line); }
.top > div { padding-block: 1.1rem 2.6rem; }
.top h1 { font-size: clamp(1.75rem, 4.2vw, 2.7rem); margin: 2.2rem 0 1rem; max-width: 24ch; letter-spacing: -0.02em; }
.top p { max-width: 66ch; margin: 0; font-size: 1.08rem; }
.top .brand { font-weight: 700; letter-spacing: 0.03em; color: var(--soft); font-size: 1rem; text-decoration: none; }
nav { position: sticky; top: 0; z-index: 2; background: var(--paper); border-bottom: 1px solid var(--line); }
nav ul { padding-block: 0.3rem; list-style: none; display: flex; gap: 1.4rem; overflow-x: auto; white-space: nowrap;
  margin-block: 0; font-size: 0.95rem; }
nav a { display: inline-block; padding: 0.4rem 0; text-decoration: none; }
nav a:hover, .brand:hover { text-decoration: underline; }
.top nav { position: static; background: none; border: 0; display: flex; flex-wrap: wrap; gap: 0.2rem 2rem;
  align-items: baseline; }
.top nav ul { margin: 0; padding: 0; flex-wrap: wrap; gap: 0 1.4rem; }
nav a[aria-current] { color: var(--ink); font-weight: 600; }

/* text */
section { padding-top: 2.6rem; }
section > p, .measure { max-width: 72ch; }
h2 { font-size: 1.65rem; margin: 0 0 0.9rem; }
section > h3 { font-size: 1.15rem; margin: 2rem 0 0.5rem; }
h4 { font-size: 1rem; margin: 1.4rem 0 0.5rem; }
.lead { font-size: 1.08rem; }
.made { color: var(--soft); font-size: 0.9rem; }
.formula { white-space: nowrap; }
math { font-size: 1.1em; }
.cases { border-left: 0.1em solid; margin-left: 0.35em; padding-left: 0.35em; }
mtd { text-align: left; padding: 0.2em 1.2em 0.2em 0.2em; }
footer { border-top: 1px solid var(--line); color: var(--soft); }
footer p { margin-block: 0; padding-block: 1.4rem 2.4rem; font-size: 0.92rem; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(12.5rem, 1fr)); gap: 1rem; margin: 0; }
.card { display: flex; flex-direction: column; border: 1px solid var(--line); border-radius: 10px;
  padding: 1.1rem 1.2rem; background: var(--wash); }
.card dd { margin: 0; }
.card .value { order: -1; font-size: 1.7rem; font-weight: 680; line-height: 1.3; letter-spacing: -0.02em;
  font-variant-numeric: tabular-nums; white-space: nowrap; }
.card .more { color: var(--soft); font-size: 0.87rem; margin-top: 0.3rem; }
.grades { display: grid; grid-template-columns: max-content 1fr; gap: 0.55rem 1.1rem; margin: 0 0 1.5rem; }
.grades dd { margin: 0; max-width: 72ch; }

/* verdicts */
.badge { display: inline-block; white-space: nowrap; font-size: 0.82rem; font-weight: 600; line-height: 1.4;
  padding: 0.05rem 0.55rem; border-radius: 999px; border: 2px solid currentColor; }
.badge.smooth { color: var(--smooth); background: var(--smooth-bg); border-style: solid; }
.badge.lipschitz { color: var(--lipschitz); background: var(--lipschitz-bg); border-style: dashed; }
.badge.unprincipled { color: var(--unprincipled); background: var(--unprincipled-bg); border-style: double;
  border-width: 4px; padding-block: 0; border-radius: 4px; }
.badge.undecided { color: var(--undecided); background: var(--undecided-bg); border-style: dotted; }
.state.bad, .alarm { color: var(--unprincipled); background: var(--unprincipled-bg); font-weight: 700;
  border: 3px double currentColor; border-radius: 4px; padding: 0.1rem 0.5rem; white-space: nowrap; }
.alarm { white-space: normal; margin: 1rem 0; }
.state.good { color: var(--smooth); font-weight: 600; white-space: nowrap; }

/* tables */
.scroll { overflow-x: auto; margin: 1rem 0; border: 1px solid var(--line); border-radius: 10px; }
table { border-collapse: collapse; width: 100%; font-size: 0.9rem; }
caption { caption-side: bottom; text-align: left; color: var(--soft); padding: 0.7rem 0.9rem; }
caption > span { display: block; max-width: min(100ch, 100vw - 5rem); }
th, td { text-align: left; vertical-align: top; padding: 0.55rem 0.7rem; border-bottom: 1px solid var(--line); }
tbody tr:last-child > * { border-bottom-color: transparent; }
tbody tr:hover { background: var(--wash); }
thead th { background: var(--wash); padding: 0; vertical-align: bottom; }
.still thead th { padding: 0.55rem 0.7rem; }
thead button { all: unset; box-sizing: border-box; cursor: pointer; display: block; width: 100%; font-weight: 600;
  padding: 0.55rem 0.7rem; }
thead button:hover { text-decoration: underline; }
thead button:focus-visible { outline: 3px solid var(--link); outline-offset: -3px; }
thead button::after { content: "\\00a0\\2195"; color: var(--soft); font-weight: 400; }
[aria-sort=ascending] button::after { content: "\\00a0\\2191"; color: var(--ink); }
[aria-sort=descending] button::after { content: "\\00a0\\2193"; color: var(--ink); }
tbody th { font-weight: 600; min-width: 6.5rem; }
tbody th a { text-decoration: none; }
tbody th a:hover { text-decoration: underline; }
tbody th .sub { display: block; font-weight: 400; padding-top: 0.35rem; overflow-x: auto; max-width: 34rem; }
td code { overflow-wrap: break-word; }
td.map { max-width: 13.5rem; overflow-x: auto; }
td.map mtd { padding: 0.12em 0.7em 0.12em 0.2em; }
.number { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
.wide table { font-size: 0.85rem; }
.wide th, .wide td, .wide thead button { padding-inline: 0.45rem; }
.wide math { font-size: 1em; }
.wide .badge { font-size: 0.75rem; padding-inline: 0.45rem; }
.wide tbody th { overflow-wrap: anywhere; }
.wide .sortable thead th { padding-inline: 0; }

/* the filter of a table */
.filter { display: flex; flex-wrap: wrap; gap: 1rem 1.5rem; align-items: end; background: var(--wash);
  border: 1px solid var(--line); border-radius: 10px; padding: 1rem 1.2rem; margin: 1.2rem 0 0.6rem; }
.filter label { font-size: 0.92rem; }
.filter .words { flex: 1 1 12rem; font-weight: 600; }
.filter input[type=search], .filter select { display: block; font: inherit; font-weight: 400; color: var(--ink);
  background: var(--paper); border: 1px solid var(--soft); border-radius: 6px; padding: 0.4rem 0.6rem;
  margin-top: 0.25rem; min-height: 2.4rem; }
.filter input[type=search] { width: 100%; }
.filter .select { font-weight: 600; }
.filter fieldset { border: 0; padding: 0; margin: 0; display: flex; flex-wrap: wrap; gap: 0.35rem 0.8rem;
  align-items: center; min-height: 2.4rem; }
.filter legend { font-size: 0.92rem; font-weight: 600; padding: 0; margin-bottom: 0.25rem; }
.filter fieldset label { display: inline-flex; align-items: center; gap: 0.35rem; min-height: 1.9rem; }
.filter input[type=checkbox] { width: 1.05rem; height: 1.05rem; margin: 0; accent-color: var(--link); }
.filter .count { color: var(--soft); }
button.plain { font: inherit; font-size: 0.95rem; color: var(--ink); background: var(--paper);
  border: 1px solid var(--soft); border-radius: 6px; padding: 0.4rem 0.9rem; min-height: 2.4rem; cursor: pointer; }
button.plain:hover { background: var(--wash); border-color: var(--ink); }
.shown { margin: 0.4rem 0 0; color: var(--soft); font-variant-numeric: tabular-nums; }

/* figures */
figure { margin: 1.8rem 0; }
figure img { display: block; width: 100%; height: auto; background: #ffffff; border: 1px solid var(--line);
  border-radius: 10px; padding: 0.7rem; }
figcaption { color: var(--soft); font-size: 0.9rem; padding-top: 0.6rem; max-width: 90ch; }
figcaption strong { color: var(--ink); }
figcaption .made { display: block; }
.gallery { display: grid; grid-template-columns: repeat(auto-fill, minmax(17rem, 1fr)); gap: 1.4rem; padding: 0;
  margin: 1.2rem 0; list-style: none; }
.gallery img { display: block; width: 100%; height: 12rem; object-fit: contain; background: #ffffff;
  border: 1px solid var(--line); border-radius: 10px; padding: 0.5rem; }
.gallery .tall { object-fit: cover; object-position: top; }
.gallery h3 { font-size: 0.98rem; margin: 0.55rem 0 0.1rem; }
.gallery p { margin: 0; font-size: 0.9rem; color: var(--soft); }

/* what unfolds */
details { border: 1px solid var(--line); border-radius: 10px; margin: 0.5rem 0; }
details > :not(summary) { margin-inline: 1.1rem; }
details > figure { margin-block: 1rem; }
details > .scroll { margin-inline: 1.1rem; }
details[open] { padding-bottom: 0.8rem; }
details[open] > summary { border-bottom: 1px solid var(--line); margin-bottom: 0.9rem; }
summary { cursor: pointer; padding: 0.7rem 1.1rem; border-radius: 10px; }
summary:hover { background: var(--wash); }
summary h3, summary h4 { display: inline; font-size: 1.04rem; margin: 0 0.45rem 0 0.15rem; }
summary h4 { font-size: 0.98rem; }
summary .title { color: var(--soft); margin-left: 0.45rem; }
details details { background: var(--wash); }
details details summary:hover { text-decoration: underline; }
.facts { display: grid; grid-template-columns: max-content minmax(0, 1fr); gap: 0.75rem 1.4rem; }
.facts dt { font-weight: 600; max-width: 12rem; }
.facts dd { margin: 0; overflow-x: auto; }
.facts .plain { color: var(--soft); overflow-wrap: anywhere; }
.big { overflow-x: auto; font-size: 1.08rem; padding: 0.3rem 0; }
.lemmas { padding-left: 1.2rem; margin: 0.2rem 0; }
.lemmas li { margin: 0.15rem 0; }

@media (max-width: 40rem) {
  main, .top > div, nav ul, footer p { padding-inline: 1rem; }
  .top h1 { margin-top: 1.4rem; }
  section { padding-top: 2rem; }
  .facts, .grades { grid-template-columns: minmax(0, 1fr); gap: 0.25rem; }
  .facts dd, .grades dd { margin-bottom: 0.7rem; }
  .cards { grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); gap: 0.7rem; }
  .card { padding: 0.9rem 1rem; }
  .card .value { font-size: 1.35rem; white-space: normal; }
  .still { min-width: 38rem; }
  details > :not(summary), details > .scroll { margin-inline: 0.8rem; }
  summary { padding-inline: 0.8rem; }
  .filter { padding: 0.9rem; }
  .wide tbody th { position: sticky; left: 0; background: var(--paper); min-width: 7rem; max-width: 9rem; }
  figure { overflow-x: auto; }
  figure img { min-width: 34rem; }
}
@media (prefers-reduced-motion: reduce) { html { scroll-behavior: auto; } }
@media print {
  :root { color-scheme: light; }
  nav, .filter, .shown, button.plain, .skip { display: none; }
  thead button::after { content: none; }
  body { font-size: 10pt; }
  main { max-width: none; padding: 0; }
  .scroll { overflow: visible; }
  figure, tr, .card { break-inside: avoid; }
  h2, h3 { break-after: avoid; }
}
"""

__all__ = ["STYLE"]
