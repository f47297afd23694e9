"""The scripts of the pages: tables that sort, a table that filters, and links that unfold their target.

Plain browser script, inline, without a framework; a page without it shows everything. The filter and the order of its
table stand in the address after #, so that a link keeps them.
"""

from __future__ import annotations

SORT = """
const place = new WeakMap();
for (const row of document.querySelectorAll('tbody tr')) place.set(row, row.rowIndex);
const sorted = (table, i, up) => {
  const heads = [...table.tHead.rows[0].cells];
  const key = row => row.cells[i].dataset.sort ?? row.cells[i].textContent.trim();
  const found = [...table.tBodies[0].rows];
  const words = found.some(row => isNaN(key(row)));
  const rows = found.sort((a, b) => {
    const [p, q] = [key(a), key(b)];
    if (p === '' || q === '') return (p === '') - (q === '') || place.get(a) - place.get(b);
    const order = words ? p.localeCompare(q, 'en') : p - q;
    return (up ? order : -order) || place.get(a) - place.get(b);
  });
  heads.forEach(h => h.setAttribute('aria-sort', 'none'));
  heads[i].setAttribute('aria-sort', up ? 'ascending' : 'descending');
  table.tBodies[0].append(...rows);
  table.dispatchEvent(new Event('sorted'));
};
for (const table of document.querySelectorAll('table.sortable')) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, i) => head.querySelector('button').addEventListener('click', () => {
    sorted(table, i, head.getAttribute('aria-sort') !== 'ascending');
  }));
}
"""
"""A click on a head sorts by that column, upwards and then downwards; empty cells stay last.

Numbers are compared as numbers where every cell of the column is one, else texts as texts; rows that are equal keep
the order of the page, so that an address which names a column gives the same order again.
"""

FILTER = """
for (const form of document.querySelectorAll('form.filter')) {
  const table = document.getElementById(form.dataset.table);
  const said = document.getElementById(form.dataset.table + '-shown');
  const heads = [...table.tHead.rows[0].cells];
  const rows = [...table.tBodies[0].rows];
  const boxes = [...form.querySelectorAll('input[type=checkbox]')];
  const state = new URLSearchParams(location.hash.includes('=') ? location.hash.slice(1) : '');
  const remember = () => {
    const now = new URLSearchParams();
    const words = form.elements.q.value.trim();
    if (words) now.set('q', words);
    if (!boxes.every(box => box.checked)) now.set('grade', boxes.filter(b => b.checked).map(b => b.value).join(' '));
    for (const select of form.querySelectorAll('select')) if (select.value) now.set(select.name, select.value);
    const at = heads.findIndex(head => head.getAttribute('aria-sort') !== 'none');
    if (at >= 0) now.set('sort', (heads[at].getAttribute('aria-sort') === 'ascending' ? '' : '-') + at);
    const hash = now.toString();
    if (hash || location.hash.includes('=')) history.replaceState(null, '', '#' + hash);
  };
  const apply = () => {
    const words = form.elements.q.value.toLowerCase().split(/\\s+/).filter(Boolean);
    const grades = boxes.filter(box => box.checked).map(box => box.value);
    const selects = [...form.querySelectorAll('select')].filter(select => select.value);
    let count = 0;
    for (const row of rows) {
      const text = row.dataset.text.toLowerCase();
      const show = grades.includes(row.dataset.grade) && words.every(word => text.includes(word))
        && selects.every(select => row.dataset[select.name] === select.value);
      row.hidden = !show;
      document.getElementById(row.dataset.pair).hidden = !show;
      count += show;
    }
    said.textContent = count + ' of ' + rows.length + ' pairs shown' + (count ? '.' : '; reset the filter to see all.');
  };
  const changed = () => { apply(); remember(); };
  form.elements.q.value = state.get('q') ?? '';
  if (state.has('grade')) for (const box of boxes) box.checked = state.get('grade').split(' ').includes(box.value);
  for (const select of form.querySelectorAll('select')) select.value = state.get(select.name) ?? '';
  if (/^-?\\d+$/.test(state.get('sort') ?? '') && heads[Math.abs(state.get('sort'))])
    sorted(table, Math.abs(state.get('sort')), !state.get('sort').startsWith('-'));
  form.addEventListener('input', changed);
  // of words, change comes when the keyboard goes elsewhere: then a link to a hidden row may have shown it
  form.addEventListener('change', event => { if (event.target !== form.elements.q) changed(); });
  form.addEventListener('submit', event => event.preventDefault());
  form.addEventListener('reset', () => setTimeout(changed));
  table.addEventListener('sorted', remember);
  form.hidden = said.hidden = false;
  apply();
}
"""
"""Shows the rows that have all words and the chosen values, with their details below, and says how many."""

UNFOLD = """
for (const button of document.querySelectorAll('button.fold')) {
  button.hidden = false;
  button.addEventListener('click', () => {
    const open = button.getAttribute('aria-pressed') !== 'true';
    button.setAttribute('aria-pressed', String(open));
    for (const d of document.querySelectorAll('#' + button.dataset.section + ' > details')) d.open = open;
  });
}
const reveal = hash => {
  const target = hash.length > 1 && document.getElementById(hash.slice(1));
  if (!target) return;
  for (let part = target; part; part = part.parentElement) {
    part.hidden = false;
    if (part.tagName === 'DETAILS') part.open = true;
  }
  if (target.tagName === 'DETAILS') target.querySelector('summary').focus({preventScroll: true});
  target.scrollIntoView();
};
document.addEventListener('click', event => {
  const link = event.target.closest('a[href^="#"]');
  if (link) setTimeout(() => reveal(link.getAttribute('href')));
});
addEventListener('hashchange', () => reveal(location.hash));
if (!location.hash.includes('=')) reveal(location.hash);
"""
"""A link to something folded unfolds it and moves the keyboard there."""

SCRIPT = SORT + FILTER + UNFOLD

__all__ = ["FILTER", "SCRIPT", "SORT", "UNFOLD"]
