// The chosen user: what is known of them, fitting their heads, new records.

import { byId, count } from "./dom.js";
import * as api from "./api.js";

const POLL_MS = 1000;
const FIT = {
  never: "population heads",
  imported: "own heads from the run",
  queued: "fit of the heads is queued",
  running: "heads are being fitted",
  done: "own heads, fitted here",
  failed: "the fit of the heads failed",
};
const busy = (info) => info?.fit === "queued" || info?.fit === "running";

/** onError(error, retry): something could not be had or done. */
export class Person {
  #id = "";
  #asked = null;
  #timer = 0;
  #onError;

  constructor({ onError }) {
    this.#onError = onError;
    byId("fit").addEventListener("click", () => this.#fit());
    byId("record-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#append();
    });
  }

  /** Shows what is known of the user of that id; "": of nobody. */
  async show(id) {
    clearTimeout(this.#timer);
    this.#asked?.abort();
    this.#id = id;
    byId("person").hidden = !id;
    byId("person-id").textContent = id;
    byId("user-facts").textContent = "";
    if (!id) return;
    const asked = (this.#asked = new AbortController());
    try {
      this.#facts(id, await api.user(id, asked.signal));
    } catch (error) {
      if (error.name !== "AbortError") this.#onError(error, () => this.show(id));
    }
  }

  /** What the next record is most likely about. */
  suggest(text) {
    byId("record-text").value = text;
    byId("record-answer").value = "";
  }

  #facts(id, info) {
    if (id !== this.#id) return;
    byId("user-facts").textContent = facts(info);
    byId("fit-facts").textContent = fitFacts(info);
    byId("fit").disabled = !info || busy(info);
    if (busy(info)) this.#timer = setTimeout(() => this.show(id), POLL_MS);
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

  async #append() {
    const [text, answer] = [byId("record-text"), byId("record-answer")];
    const record = { text: text.value.trim(), answer: answer.value.trim() };
    if (!record.text) {
      text.focus();
      return;
    }
    const id = this.#id;
    try {
      this.#facts(id, await api.append(id, record));
      text.value = answer.value = "";
      byId("status").textContent = `Added. ${byId("user-facts").textContent}`;
    } catch (error) {
      this.#onError(error, () => this.#append());
    }
  }
}

function facts(info) {
  if (!info) return "Nobody is known by this id. The plain prompt and the population heads answer; a record makes the user.";
  return `${count(info.items, "record")} · ${FIT[info.fit] ?? info.fit}`;
}

function fitFacts(info) {
  if (!info) return "Heads can be fitted once there are records.";
  const parts = [`Revision ${info.revision} of the history; ${FIT[info.fit] ?? info.fit}.`];
  if (info.message) parts.push(`${info.message}.`.replace(/([.!?])\.$/, "$1"));
  if (info.stale && info.fit !== "never") parts.push("There are newer records than those the heads were fitted on.");
  return parts.join(" ");
}
