// The chosen user: what is known of them, fitting their heads, new items.

import { byId, count, el } from "./dom.js";
import * as api from "./api.js";

const POLL_MS = 1000;
const FIT = {
  never: "not fitted: the shared heads answer",
  imported: "fitted by the run: own heads where they beat the shared ones",
  queued: "fit of the heads is queued",
  running: "heads are being fitted",
  done: "fitted here: own heads where they beat the shared ones",
  failed: "the fit of the heads failed",
};
const busy = (info) => info?.fit === "queued" || info?.fit === "running";

/** onError(error, retry): something could not be had or done. onDeleted(): the chosen user is gone. */
export class Person {
  #id = "";
  #asked = null;
  #timer = 0;
  #waiting = false; // for a fit to end
  #onError;
  #onDeleted;

  constructor({ onError, onDeleted }) {
    this.#onError = onError;
    this.#onDeleted = onDeleted;
    byId("export").addEventListener("click", () => this.#export());
    byId("delete").addEventListener("click", () => this.#confirm(true));
    byId("keep").addEventListener("click", () => this.#confirm(false));
    byId("delete-now").addEventListener("click", () => this.#delete());
    byId("fit").addEventListener("click", () => this.#fit());
    byId("item-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#append();
    });
  }

  /** Shows what is known of the user of that id; "": of no user. */
  async show(id) {
    clearTimeout(this.#timer);
    this.#asked?.abort();
    if (id !== this.#id) {
      this.#waiting = false;
      byId("user-facts").textContent = byId("fit-facts").textContent = "";
    }
    this.#id = id;
    byId("confirm-delete").hidden = true;
    byId("person").hidden = !id;
    byId("person-id").textContent = id;
    if (!id) return;
    const asked = (this.#asked = new AbortController());
    try {
      this.#facts(id, await api.user(id, asked.signal));
    } catch (error) {
      if (error.name !== "AbortError") this.#onError(error, () => this.show(id));
    }
  }

  /** What the next item is most likely about. */
  suggest(text) {
    byId("item-text").value = text;
    byId("item-answer").value = "";
  }

  #facts(id, info) {
    if (id !== this.#id) return;
    byId("user-facts").textContent = facts(info);
    byId("fit-facts").textContent = fitFacts(info);
    byId("fit").disabled = !info || busy(info);
    byId("export").disabled = byId("delete").disabled = !info;
    byId("delete-facts").textContent = info
      ? `Delete ${id} with ${count(info.items, "item")} and all heads? Nothing brings them back.` : "";
    if (this.#waiting && !busy(info)) byId("status").textContent = byId("fit-facts").textContent;
    this.#waiting = busy(info);
    if (this.#waiting) this.#timer = setTimeout(() => this.show(id), POLL_MS);
  }

  async #fit() {
    const id = this.#id;
    byId("fit").disabled = true;
    try {
      this.#facts(id, await api.fit(id));
    } catch (error) {
      byId("fit").disabled = false;
      this.#onError(error, () => this.#fit());
    }
  }

  /** Everything that is kept, as a file of the browser's own making. */
  async #export() {
    const id = this.#id;
    try {
      const text = JSON.stringify(await api.exported(id), null, 2);
      const address = URL.createObjectURL(new Blob([text], { type: "application/json" }));
      el("a", { href: address, download: `${id.replace(/[^\p{L}\p{N}._-]/gu, "_")}.json` }).click();
      setTimeout(() => URL.revokeObjectURL(address), 60000);
      byId("status").textContent = "Exported";
    } catch (error) {
      this.#onError(error, () => this.#export());
    }
  }

  #confirm(on) {
    byId("confirm-delete").hidden = !on;
    byId(on ? "keep" : "delete").focus();
  }

  async #delete() {
    const id = this.#id;
    byId("confirm-delete").hidden = true;
    try {
      await api.remove(id);
      this.#onDeleted();
      byId("status").textContent = `${id} is deleted`;
    } catch (error) {
      this.#onError(error, () => this.#delete());
    }
  }

  async #append() {
    const [text, answer] = [byId("item-text"), byId("item-answer")];
    const item = { text: text.value.trim(), answer: answer.value.trim() };
    if (!item.text) {
      text.focus();
      return;
    }
    const id = this.#id;
    try {
      this.#facts(id, await api.append(id, item));
      text.value = answer.value = "";
      byId("status").textContent = `Added. ${byId("user-facts").textContent}`;
    } catch (error) {
      this.#onError(error, () => this.#append());
    }
  }
}

function facts(info) {
  if (!info) return "There is no user of this id: the shared heads answer, without a history. The first item creates the user.";
  return `${count(info.items, "item")} · ${FIT[info.fit] ?? info.fit}`;
}

function fitFacts(info) {
  if (!info) return "Heads can be fitted once there are items.";
  const parts = [`Revision ${info.revision} of the history; ${FIT[info.fit] ?? info.fit}.`];
  if (info.message) parts.push(`${info.message}.`.replace(/([.!?])\.$/, "$1"));
  if (info.stale && info.fit !== "never") parts.push("There are newer items than those the heads were fitted on.");
  return parts.join(" ");
}
