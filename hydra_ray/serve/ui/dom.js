// Elements and numbers. Text reaches the document only as text nodes and attribute values, never as markup.

const SVG = "http://www.w3.org/2000/svg";

/** A new HTML element. attributes: null and false are left out. children: nodes or text, null is left out. */
export function el(tag, attributes = {}, ...children) {
  return furnish(document.createElement(tag), attributes, children);
}

/** A new SVG element, as `el`. */
export function svg(tag, attributes = {}, ...children) {
  return furnish(document.createElementNS(SVG, tag), attributes, children);
}

function furnish(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

export const byId = (id) => document.getElementById(id);

/** Text for screen readers only. */
export const unseen = (text) => el("span", { class: "unseen" }, text);

/**
 * A paragraph of a text that may be long, and a button that unfolds it; null instead of a button where it is short.
 * name: for screen readers, what the button shows.
 */
export function foldable(text, name) {
  const paragraph = el("p", { class: "text", dir: "auto" }, text);
  if (text.length <= LONG) return [paragraph, null];
  paragraph.classList.add("folded");
  const label = document.createTextNode("Whole text");
  const attributes = { type: "button", class: "link", "aria-expanded": "false" };
  const button = el("button", attributes, label, unseen(` of ${name}`));
  button.addEventListener("click", () => {
    const folded = paragraph.classList.toggle("folded");
    button.setAttribute("aria-expanded", String(!folded));
    label.data = folded ? "Whole text" : "Less";
  });
  return [paragraph, button];
}

const LONG = 220; // characters beyond which a text is folded

const MINUS = "−";
const formats = new Map();

/** A number with a fixed count of decimals, thousands separated, a true minus; an en dash for null. */
export function number(value, decimals = 0) {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  if (!formats.has(decimals)) {
    const digits = { minimumFractionDigits: decimals, maximumFractionDigits: decimals };
    formats.set(decimals, new Intl.NumberFormat("en", digits));
  }
  return formats.get(decimals).format(value).replace("-", MINUS);
}

/** As `number`, with a plus where it is positive: for log-odds. */
export const signed = (value, decimals = 2) => (value > 0 ? "+" : "") + number(value, decimals);

/** "1 item", "4 items". */
export const count = (n, one, many = `${one}s`) => `${number(n)} ${n === 1 ? one : many}`;
