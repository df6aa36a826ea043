// Users to begin with and a question to click: for visitors who do not know an id yet.

import { byId, el } from "./dom.js";
import * as api from "./api.js";

const SHOWN = 4;
const LONGEST = 160;

/** Fills the examples; onUser(id), onQuestion(text): one was clicked. What cannot be had is left out. */
export async function showExamples({ onUser, onQuestion }) {
  let found;
  try {
    found = (await api.users("", 50)).filter((user) => user.items > 0);
  } catch {
    return; // the page says elsewhere what is wrong
  }
  const shown = found.slice(0, SHOWN);
  byId("examples").hidden = !shown.length;
  byId("example-users").replaceChildren(...shown.map((user) => button(user.user_id, () => onUser(user.user_id))));
  // A question that no example user has answered: the newest item of another one.
  const other = found[SHOWN] ?? found.at(-1);
  const [item] = other ? await newest(other) : [];
  byId("example-question").hidden = !item;
  if (!item) return;
  const text = item.text.trim();
  const label = text.length > LONGEST ? `${text.slice(0, LONGEST)}…` : text;
  byId("example-question").replaceChildren("A question: ", button(label, () => onQuestion(text)));
}

async function newest(user) {
  try {
    return (await api.history(user.user_id, Math.max(0, user.items - 1), 1)).data;
  } catch {
    return [];
  }
}

function button(text, onClick) {
  const made = el("button", { type: "button", class: "link", dir: "auto" }, text);
  made.addEventListener("click", onClick);
  return made;
}
