// The user field: an editable combobox (ARIA Authoring Practices, "Editable Combobox With List Autocomplete").

import { byId, count, el } from "./dom.js";
import * as api from "./api.js";

const LIMIT = 50;
const PAUSE_MS = 120; // after a key, before the service is asked

/** onPick(id): a user was chosen, or an id left standing. onError(error, retry): the list could not be had. */
export class UserField {
  #input = byId("user");
  #popup = byId("user-popup");
  #list = byId("user-list");
  #note = byId("user-note");
  #ids = [];
  #active = -1;
  #timer = 0;
  #asked = null;
  #picked = "";
  #onPick;
  #onError;

  constructor({ onPick, onError }) {
    this.#onPick = onPick;
    this.#onError = onError;
    this.#input.addEventListener("input", () => this.#later());
    this.#input.addEventListener("click", () => this.#popup.hidden && this.#show());
    this.#input.addEventListener("keydown", (event) => this.#key(event));
    this.#input.addEventListener("blur", () => this.#leave());
    // The field keeps the focus; else its blur would close the list before the click arrives.
    this.#popup.addEventListener("mousedown", (event) => event.preventDefault());
    this.#list.addEventListener("click", (event) => {
      const option = event.target.closest("[role=option]");
      if (option) this.#pick(this.#ids[Number(option.dataset.index)]);
    });
  }

  /** The id: as it was chosen, else as it was typed, without blanks around it. */
  get value() {
    const { value } = this.#input;
    return value === this.#picked ? value : value.trim();
  }

  focus() {
    this.#input.focus();
  }

  /** Chooses a user. */
  set(id) {
    this.#pick(id);
  }

  #key(event) {
    const open = !this.#popup.hidden;
    if (event.isComposing || event.ctrlKey || event.metaKey) return;
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      const step = event.key === "ArrowDown" ? 1 : -1;
      if (open) this.#move(step);
      else this.#show(step);
    } else if (event.key === "Enter" && open && this.#active >= 0) {
      event.preventDefault();
      this.#pick(this.#ids[this.#active]);
    } else if (event.key === "Escape") {
      if (open) this.#close();
      else if (this.#input.value) this.#clear();
    }
  }

  /** Around the list and back into the field: -1 stands for the field itself. */
  #move(step) {
    const places = this.#ids.length + 1;
    this.#mark(((this.#active + 1 + step + places) % places) - 1);
  }

  #mark(index) {
    this.#active = index;
    for (const [i, option] of [...this.#list.children].entries()) {
      option.setAttribute("aria-selected", String(i === index));
      if (i === index) option.scrollIntoView({ block: "nearest" });
    }
    if (index >= 0) this.#input.setAttribute("aria-activedescendant", `user-${index}`);
    else this.#input.removeAttribute("aria-activedescendant");
  }

  #later() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#show(), PAUSE_MS);
  }

  /** Asks for the users of the typed beginning and opens the list; step: then moves into it. A chosen id lists all. */
  async #show(step = 0) {
    clearTimeout(this.#timer);
    this.#asked?.abort();
    const asked = (this.#asked = new AbortController());
    const prefix = this.value === this.#picked ? "" : this.value;
    try {
      const found = await api.users(prefix, LIMIT, asked.signal);
      if (asked.signal.aborted || document.activeElement !== this.#input) return;
      this.#fill(found, prefix);
      if (step && found.length) this.#mark(step > 0 ? 0 : found.length - 1);
    } catch (error) {
      if (error.name === "AbortError") return;
      this.#close();
      this.#onError(error, () => this.#show(step));
    }
  }

  #fill(found, prefix) {
    this.#ids = found.map((user) => user.user_id);
    this.#list.replaceChildren(...found.map((user, index) => option(user, index, prefix)));
    this.#mark(-1);
    this.#note.textContent = note(found.length, prefix);
    this.#popup.hidden = false;
    this.#input.setAttribute("aria-expanded", String(found.length > 0));
    byId("status").textContent = found.length ? count(found.length, "user") : this.#note.textContent;
  }

  #pick(id) {
    this.#input.value = this.#picked = id;
    this.#close();
    this.#tell();
  }

  #leave() {
    this.#close();
    if (this.value !== this.#picked) this.#tell();
  }

  #tell() {
    this.#picked = this.value;
    this.#onPick(this.value);
  }

  #clear() {
    this.#input.value = "";
    this.#tell();
  }

  #close() {
    clearTimeout(this.#timer);
    this.#asked?.abort();
    this.#popup.hidden = true;
    this.#mark(-1);
    this.#input.setAttribute("aria-expanded", "false");
  }
}

function option(user, index, prefix) {
  const attributes = { id: `user-${index}`, role: "option", "aria-selected": "false", "data-index": index };
  const rest = user.user_id.slice(prefix.length);
  return el("li", attributes,
    el("bdi", {}, prefix ? el("b", {}, user.user_id.slice(0, prefix.length)) : null, rest),
    el("span", { class: "hint" }, count(user.items, "item")));
}

function note(found, prefix) {
  if (found === 0) return prefix ? "No known user’s id begins so." : "There are no users yet.";
  return found >= LIMIT ? `The first ${found}. Type to narrow them down.` : "";
}
