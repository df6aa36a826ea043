// What was retrieved: a table in the reranker's order, and lines from each item's place by BM25 to its place there.

import { count, el, foldable, number, signed, svg, unseen } from "./dom.js";

/** The section's content for a trace. */
export function retrieved(trace) {
  const items = [...trace.retrieved].sort((a, b) => a.rank - b.rank);
  if (!items.length) return [el("p", { class: "hint" }, `Nothing was retrieved. ${why(trace)}`)];
  const reranked = items.some((item) => item.reranker !== null && item.reranker !== undefined);
  const rows = items.map((item, index) => row(item, index, startOf(items, item)));
  const table = el("table", { class: "items", role: "table" },
    el("thead", { role: "rowgroup" }, el("tr", { role: "row" },
      head("#", "Place after the reranker"), head("History item"), head("BM25", null, "num"), head("Reranker", null, "num"),
      head("Moved", null, "num"), head("Prompt"))),
    el("tbody", { role: "rowgroup" }, ...rows));
  const chart = svg("svg", { class: "slopes", role: "img", "aria-label": summary(items, reranked) });
  const box = el("div", { class: "moves" }, chart, table);
  follow(box, chart, table, items, reranked);
  return [el("p", { class: "hint" }, summary(items, reranked)), box];
}

const startOf = (items, item) => items.filter((other) => other.bm25_rank < item.bm25_rank).length;

function why(trace) {
  return trace.items ? "None of the user’s items was near enough." : "The user has no items.";
}

function summary(items, reranked) {
  const shown = items.filter((item) => item.in_prompt).length;
  const prompt = `${count(shown, "item")} of ${items.length} went into the prompt.`;
  if (!reranked) return `BM25’s order; the reranker did not run. ${prompt}`;
  const moved = items.filter((item, index) => startOf(items, item) !== index).length;
  const promoted = items.filter((item) => item.in_prompt && startOf(items, item) >= shown).length;
  const gain = promoted ? ` ${number(promoted)} of them would not have by BM25 alone.` : "";
  return `The reranker moved ${moved} of ${items.length}. ${prompt}${gain}`;
}

const head = (text, title, kind) => el("th", { scope: "col", role: "columnheader", title, class: kind }, text);
const cell = (kind, label, ...children) => el("td", { class: kind, role: "cell", "data-label": label }, ...children);

function row(item, index, start) {
  return el("tr", { role: "row", class: item.in_prompt ? "shown" : null },
    cell("place num", null, number(index + 1)),
    cell("item", null, el("div", {}, ...contents(item, index))),
    cell("num", "BM25", number(item.bm25, 2)),
    cell("num", "Reranker", signed(item.reranker)),
    cell("num move", "Moved", ...move(start - index)),
    cell("prompt", null, item.in_prompt ? el("span", { class: "tag" }, "in prompt") : unseen("no")));
}

function move(up) {
  if (up === 0) return [el("span", { class: "hint", "aria-hidden": "true" }, "–"), unseen("not moved")];
  return [el("span", { "aria-hidden": "true" }, `${up > 0 ? "↑" : "↓"}\u2009${Math.abs(up)}`),
    unseen(`${up > 0 ? "up" : "down"} ${Math.abs(up)}`)];
}

function contents(item, index) {
  const name = `item ${index + 1}`;
  const [text, more] = foldable(item.text, name);
  const [answer, moreAnswer] = foldable(item.answer, `the answer of ${name}`);
  answer.classList.add("own");
  return [
    text, more,
    item.answer ? [unseen("Answer: "), answer, moreAnswer] : el("p", { class: "hint" }, "no answer"),
    item.date ? el("time", { class: "hint" }, item.date) : null,
    el("bdi", { class: "hint" }, item.item_id),
  ];
}

/** Draws the lines, and again whenever the table changes its shape; the row under the pointer shows its line. */
function follow(box, chart, table, items, reranked) {
  const draw = () => slopes(chart, table, items, reranked);
  new ResizeObserver(draw).observe(table);
  const light = (event) => {
    const at = [...table.tBodies[0].rows].indexOf(event.target.closest("tbody tr"));
    for (const [i, line] of [...chart.querySelectorAll("path")].entries()) line.classList.toggle("lit", i === at);
  };
  table.addEventListener("pointerover", light);
  table.addEventListener("pointerleave", light);
}

function slopes(chart, table, items, reranked) {
  const { width, top } = chart.getBoundingClientRect();
  if (!width) return;
  const middles = [...table.tBodies[0].rows].map((line) => {
    const place = line.getBoundingClientRect();
    return place.top + place.height / 2 - top;
  });
  const header = table.tHead.getBoundingClientRect();
  const labelY = header.height > 2 ? header.top + header.height / 2 - top : -10;
  const [from, to] = [26, width - 8];
  const bend = (from + to) / 2;
  const lines = items.map((item, index) => {
    const [y0, y1] = [middles[startOf(items, item)], middles[index]];
    const d = `M${from} ${y0}C${bend} ${y0} ${bend} ${y1} ${to} ${y1}`;
    return svg("path", { d, class: item.in_prompt ? "shown" : null });
  });
  const marks = items.flatMap((item, index) => {
    const kind = item.in_prompt ? "shown" : null;
    const start = startOf(items, item);
    return [
      svg("text", { x: from - 10, y: middles[start], class: kind, "text-anchor": "end" }, number(start + 1)),
      svg("circle", { cx: from, cy: middles[start], r: 3, class: kind }),
      svg("circle", { cx: to, cy: middles[index], r: 3, class: kind }),
    ];
  });
  const labels = [svg("text", { x: 0, y: labelY, class: "axis" }, "BM25")];
  if (width > 120) {
    const end = reranked ? "Reranker" : "unchanged";
    labels.push(svg("text", { x: width, y: labelY, class: "axis", "text-anchor": "end" }, end));
  }
  chart.replaceChildren(...lines, ...marks, ...labels);
}
