// An answer and its trace, as sections of the page.

import { count, el, foldable, number, signed, unseen } from "./dom.js";
import { retrieved } from "./retrieved.js";

const REASONS = {
  no_user: "No user was named: the plain prompt and the shared heads were used.",
  user_unknown: "There is no user of this id: the plain prompt and the shared heads were used.",
  history_unreadable: "The user’s history could not be read: the plain prompt was used.",
  reranker_down: "The reranker did not run: the items stand in BM25’s order.",
  head_unreadable: "The user’s own head could not be read: the shared head was used.",
  adapter_down: "The adapter did not run: the first sample is the answer.",
  no_candidate: "No sample held an answer of this task: the answer is empty.",
  plain_failed: "The model’s plain answer failed: only the personalised one is here.",
  prompt_shortened: "The prompt was too long for the model: a shorter one, with fewer items, was answered.",
  question_cut: "The question is longer than the model reads: its end was left out.",
  fewer_answers: "Fewer different answers than were asked for.",
};
const STAGES = { retrieve: "Retrieve", rerank: "Rerank", llm: "Language model", select: "Select" };
const SHORT = 60; // characters up to which an answer is set large

/** The sections for an answer to the question, as `POST /v1/personalize` gives it. */
export function answerView(answer, question) {
  const { trace } = answer;
  return [
    degraded(trace.degraded),
    answers(answer, question),
    section("retrieved", "What was retrieved", ...retrieved(trace)),
    section("candidates", "Candidates", ...candidates(answer)),
    el("div", { class: "pair" },
      section("cost", "What each stage cost", ...cost(trace)),
      section("versions", "Made with", made(trace))),
    promptView(trace.prompt.messages ?? []),
    el("details", { class: "raw" }, el("summary", {}, "The answer as JSON"),
      el("pre", { tabindex: "0" }, JSON.stringify(answer, null, 2))),
  ].filter((part) => part !== null);
}

/** One sentence for the live region. */
export function announcement(answer) {
  const lost = answer.trace.degraded.length ? " Degraded: see the notes above the answer." : "";
  return `Personalised answer: ${answer.answer || "empty"}. Plain answer: ${answer.plain || "none"}.${lost}`;
}

function section(id, title, ...children) {
  return el("section", { id, "aria-labelledby": `${id}-title` }, el("h2", { id: `${id}-title` }, title), ...children);
}

function degraded(reasons) {
  if (!reasons.length) return null;
  const lines = reasons.map(({ reason, detail }) => el("li", {}, REASONS[reason] ?? reason,
    detail ? el("span", { class: "hint", dir: "auto" }, ` (${detail})`) : null));
  return el("div", { id: "degraded", class: "note warn" },
    el("h2", {}, "Not everything could be done"), el("ul", {}, ...lines));
}

function answers({ answer, plain, trace }, question) {
  const who = trace.user_id === null ? "For no user in particular" : ["For ", el("bdi", {}, trace.user_id)];
  const same = plain !== null && plain !== undefined && plain.trim() === answer.trim();
  return el("section", { id: "answers", "aria-label": "Answers" },
    el("div", { class: "asked" }, ...foldable(`“${question}”`, "the question")),
    card("plain", "Plain", "The model alone", plain, "No plain answer came."),
    card("personalised", "Personalised", who, answer, "The answer is empty."),
    el("p", { class: "hint promptfacts" }, `${same ? "Both are the same. " : ""}${prompt(trace)}`));
}

function card(id, title, who, text, otherwise) {
  const size = text && text.length > SHORT ? "reply long" : "reply";
  return el("article", { id, class: "answer", "aria-labelledby": `${id}-title` },
    el("header", {}, el("h2", { id: `${id}-title` }, title), el("p", { class: "hint" }, ...[who].flat())),
    text ? el("p", { class: size, dir: "auto" }, text) : el("p", { class: "hint" }, otherwise));
}

function prompt({ prompt: shown, items }) {
  const tokens = shown.tokens ? ` (${count(shown.tokens, "token")})` : "";
  const dropped = shown.dropped_examples ? `, ${number(shown.dropped_examples)} left out for want of room` : "";
  const examples = `${count(shown.examples, "example")}${dropped}, out of ${count(items, "item")}`;
  const cut = shown.question_cut ? " The question was shortened." : "";
  return `The prompt had ${count(shown.words, "word")}${tokens} and ${examples}.${cut}`;
}

/** All messages that the model was sent. */
function promptView(messages) {
  if (!messages.length) return null;
  const parts = messages.flatMap(({ role, content }) => [
    el("h3", { class: "hint" }, role), el("pre", { tabindex: "0", class: "whole", dir: "auto" }, content)]);
  return el("details", { id: "prompt", class: "raw" }, el("summary", {}, "The prompt, as the model was sent it"), ...parts);
}

function candidates({ answer, trace }) {
  const list = trace.candidates;
  if (!list.length) return [el("p", { class: "hint" }, "There were no candidates.")];
  const chosen = list.findIndex((candidate) => candidate.text === answer);
  const samples = list.reduce((sum, candidate) => sum + candidate.votes, 0);
  const weights = list.map((candidate) => candidate.weight ?? 0);
  const largest = weights.every((weight) => weight >= 0) ? Math.max(...weights) : 0; // bars only where none is negative
  const rows = list.map((candidate, index) => el("tr", { class: index === chosen ? "chosen" : null },
    el("th", { scope: "row" }, el("div", {}, ...named(candidate, index === chosen))),
    el("td", { class: "num" }, number(candidate.votes)),
    el("td", { class: "num" }, signed(candidate.adapter)),
    el("td", { class: "num bar" }, number(candidate.weight, 3), bar(weights[index], largest))));
  const own = list.some((candidate) => candidate.own) ? " “Own” is one that the user has given before." : "";
  return [
    el("p", { class: "hint" }, `${count(list.length, "candidate")}, ${count(samples, "sample")}.${own}`),
    el("div", { class: "scroll" }, el("table", { class: "figures" },
      el("thead", {}, el("tr", {}, ...["Answer", "Votes", "Adapter", "Weight"].map(
        (title, index) => el("th", { scope: "col", class: index ? "num" : null }, title)))),
      el("tbody", {}, ...rows))),
  ];
}

function named(candidate, chosen) {
  const own = el("span", { class: "tag faint", title: "One of the user’s own past answers" }, "own");
  return [
    ...foldable(candidate.text || "(empty)", "the candidate"),
    chosen ? el("span", { class: "tag" }, "chosen") : null,
    candidate.own ? own : null,
  ];
}

function bar(value, largest) {
  if (!(largest > 0)) return null;
  const mark = el("i", { "aria-hidden": "true" });
  mark.style.setProperty("--share", Math.max(0, value) / largest);
  return mark;
}

function cost(trace) {
  const stages = Object.entries(trace.ms).filter(([name]) => name !== "total");
  const largest = Math.max(...stages.map(([, ms]) => ms), 0);
  const rows = stages.map(([name, ms]) => el("tr", {},
    el("th", { scope: "row" }, STAGES[name] ?? name),
    el("td", { class: "bar" }, bar(ms, largest)),
    el("td", { class: "num" }, number(ms, 1), unseen(" milliseconds"))));
  if (trace.ms.total !== undefined) {
    rows.push(el("tr", { class: "sum" }, el("th", { scope: "row" }, "In all"), el("td"),
      el("td", { class: "num" }, number(trace.ms.total, 1), unseen(" milliseconds"))));
  }
  return [el("table", { class: "figures stages" },
    el("thead", {}, el("tr", {},
      el("th", { scope: "col" }, "Stage"), el("td"), el("th", { scope: "col", class: "num" }, "ms"))),
    el("tbody", {}, ...rows))];
}

function made({ versions, llm_tokens: tokens, request_id: request, task }) {
  const heads = (component, version) =>
    `${versions.own_heads.includes(component) ? "the user’s own" : "the shared head"}, version ${number(version)}`;
  const lines = [
    ["Run", versions.run], ["Task", task], ["hydra_ray", versions.hydra_ray],
    ["History", versions.history ? `revision ${number(versions.history)}` : "none"],
    ["Reranker head", heads("reranker", versions.reranker_heads)],
    ["Adapter head", heads("adapter", versions.adapter_heads)],
    ["Tokens of the model", number(tokens)], ["Request", request],
  ];
  return el("dl", { class: "lines" },
    ...lines.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value))));
}
