// Ties the parts together: the key, the question, the answer, and what goes wrong.

import * as api from "./api.js";
import { announcement, answerView } from "./answer.js";
import { byId, count, el } from "./dom.js";
import { showExamples } from "./examples.js";
import { Person } from "./person.js";
import { UserField } from "./users.js";

const TITLES = {
  0: "The service cannot be reached",
  400: "The question was refused",
  404: "There is no such thing here",
  413: "That is too long",
  422: "The service cannot take that",
  429: "The service is at its limit",
  503: "The language model does not answer",
  504: "It took too long",
};

let model = null; // what is served, once the service has named it
let asking = null;
let afterKey = null;

const person = new Person({
  onError: report,
  onDeleted: () => {
    byId("result").hidden = true;
    userField.set("");
    examples();
  },
});
const userField = new UserField({
  onPick: (id) => {
    clearProblem();
    person.show(id);
  },
  onError: report,
});

/** Shows what went wrong; for want of a key, asks for one and then tries again. */
function report(error, retry) {
  if (error.status === 401) {
    askForKey(retry);
    return;
  }
  const title = TITLES[error.status] ?? (error.status >= 500 ? "The service failed" : "That did not work");
  const seconds = Number(error.retryAfter);
  const when = error.retryAfter && seconds > 0 ? `Try again in ${count(seconds, "second")}.` : null;
  const again = retry && el("button", { type: "button", class: "quiet" }, "Try again");
  again?.addEventListener("click", () => {
    clearProblem();
    retry();
  });
  byId("problem").replaceChildren(el("div", { class: "note bad" },
    el("h2", {}, title), el("p", { dir: "auto" }, sentence(error.message, title) || `Status ${error.status}.`),
    when ? el("p", {}, when) : null, again));
}

/** A message of the service as a sentence, without the title if it begins so. */
function sentence(message, title) {
  const same = message.toLowerCase().startsWith(`${title.toLowerCase()}:`);
  const rest = (same ? message.slice(title.length + 1) : message).trim();
  return rest && `${rest[0].toUpperCase()}${rest.slice(1)}${/[.!?>]$/.test(rest) ? "" : "."}`;
}

function complain(title, field) {
  byId("problem").replaceChildren(el("div", { class: "note bad" }, el("h2", {}, title)));
  field.focus();
}

const clearProblem = () => byId("problem").replaceChildren();

function askForKey(retry) {
  const wrong = api.key() !== null;
  api.setKey(null);
  afterKey = retry;
  byId("forget-key").hidden = true;
  byId("key-form").hidden = false;
  clearProblem();
  if (wrong) complain("The service does not know this key", byId("key"));
  else byId("key").focus();
}

byId("key-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const value = byId("key").value.trim();
  if (!value) return;
  api.setKey(value);
  byId("key").value = "";
  byId("key-form").hidden = true;
  byId("forget-key").hidden = false;
  clearProblem();
  const retry = afterKey;
  afterKey = null;
  userField.focus();
  await start();
  if (retry !== start) retry?.();
});

byId("forget-key").addEventListener("click", () => {
  api.setKey(null);
  location.reload();
});

function examples() {
  showExamples({
    onUser: (id) => userField.set(id),
    onQuestion: (text) => {
      byId("question").value = text;
      byId("question").focus();
    },
  });
}

async function start() {
  try {
    model = await api.served();
    byId("run").textContent = model.run;
    byId("task").textContent = model.task ?? "";
    byId("task").parentElement.hidden = model.task === null;
    byId("serving").hidden = false;
    document.title = `${model.run} – hydra_ray`;
    byId("labels").hidden = !model.labels.length;
    byId("labels").textContent = `Answers are one of: ${model.labels.join(", ")}.`;
    examples();
    return true;
  } catch (error) {
    report(error, start);
    return false;
  }
}

async function ask() {
  const query = byId("question").value.trim();
  const userId = userField.value;
  if (!userId) return complain("Choose a user first", byId("user"));
  if (!query) return complain("Write a question first", byId("question"));
  if (model === null && !(await start())) return undefined;
  asking?.abort();
  const mine = (asking = new AbortController());
  clearProblem();
  wait(true);
  try {
    const answer = await api.personalize(userId, model.task, query, mine.signal);
    show(answer, query);
    person.suggest(query);
  } catch (error) {
    if (error.name === "AbortError") return undefined;
    byId("result").hidden = true; // it is no answer to this question
    report(error, ask);
  } finally {
    if (asking === mine) wait(false);
  }
  return undefined;
}

function wait(on) {
  byId("ask").textContent = on ? "Asking…" : "Ask";
  byId("ask").setAttribute("aria-disabled", String(on));
  byId("cancel").hidden = !on;
  byId("result").setAttribute("aria-busy", String(on));
  byId("status").textContent = on ? "Asking" : byId("status").textContent.replace(/^Asking$/, "");
}

function show(answer, question) {
  const result = byId("result");
  result.replaceChildren(...answerView(answer, question));
  result.hidden = false;
  byId("empty").hidden = true;
  byId("status").textContent = announcement(answer);
  // Below the fold (a narrow screen) the answer is brought into view; the focus stays in the question.
  if (result.getBoundingClientRect().top > innerHeight * 0.7) result.scrollIntoView({ block: "start" });
}

byId("ask-form").addEventListener("submit", (event) => {
  event.preventDefault();
  if (byId("ask").getAttribute("aria-disabled") !== "true") ask();
});

byId("question").addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  byId("ask-form").requestSubmit();
});

byId("cancel").addEventListener("click", () => {
  asking?.abort();
  byId("status").textContent = "Cancelled";
  byId("question").focus();
});

if (api.key() !== null) byId("forget-key").hidden = false;
start();
