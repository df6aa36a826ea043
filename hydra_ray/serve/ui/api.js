// The service's JSON API. The key lives in sessionStorage (this tab, until it is closed), else in memory; nowhere else.

const STORED = "hydra-ray-key";
let inMemory = null;

export function key() {
  try {
    return sessionStorage.getItem(STORED);
  } catch {
    return inMemory;
  }
}

/** Keeps the key; null forgets it. */
export function setKey(value) {
  inMemory = value;
  try {
    if (value === null) sessionStorage.removeItem(STORED);
    else sessionStorage.setItem(STORED, value);
  } catch {
    // Storage is blocked: the key lasts until the page is left.
  }
}

/** The error that the service, or the way to it, gave instead of an answer. status: of HTTP, 0 if there was no answer. */
export class ApiError extends Error {
  constructor(status, message, { code = null, retryAfter = null } = {}) {
    super(message);
    this.status = status;
    this.code = code;
    this.retryAfter = retryAfter;
  }
}

async function call(method, path, { body, signal } = {}) {
  const headers = { Accept: "application/json" };
  const secret = key();
  if (secret) headers.Authorization = `Bearer ${secret}`;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let response;
  let text;
  try {
    response = await fetch(path, {
      method, headers, signal, body: body === undefined ? undefined : JSON.stringify(body), cache: "no-store",
    });
    text = await response.text();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, error.message);
  }
  const tree = parsed(text);
  if (!response.ok) throw refusal(response, tree, text);
  if (tree === undefined) throw new ApiError(response.status, "the answer is not JSON");
  return tree;
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function refusal(response, tree, text) {
  const error = tree?.error;
  const message = error?.message ?? (typeof tree?.detail === "string" ? tree.detail : text.slice(0, 300).trim());
  return new ApiError(response.status, message, { code: error?.code, retryAfter: response.headers.get("Retry-After") });
}

const userPath = (id) => `v1/users/${encodeURIComponent(id)}`;

/** {run, task, labels}: what is served; task: null if the service does not say; labels: none of free text. */
export async function served() {
  const model = (await call("GET", "v1/models")).data?.[0];
  if (!model) throw new ApiError(200, "the service names no model");
  return { run: model.hydra?.run ?? model.id, task: model.hydra?.task ?? null, labels: model.hydra?.labels ?? [] };
}

/** The users whose id begins so, sorted. */
export async function users(prefix, limit, signal) {
  const query = new URLSearchParams({ prefix, limit });
  return (await call("GET", `v1/users?${query}`, { signal })).data ?? [];
}

/** What is known of the user; null: no user of that id. */
export async function user(id, signal) {
  try {
    return await call("GET", userPath(id), { signal });
  } catch (error) {
    if (error.status === 404) return null;
    throw error;
  }
}

/** Some of the user's items, oldest first: {data, total, next}. */
export const history = (id, offset, limit) => call("GET", `${userPath(id)}/history?${new URLSearchParams({ offset, limit })}`);

/** Everything that is kept of the user. */
export const exported = (id) => call("GET", `${userPath(id)}/export`);

/** Removes history and heads. */
export const remove = (id) => call("DELETE", userPath(id));

/** The personalised answer, with the plain one next to it, and its trace. task: null: whichever is served. */
export function personalize(userId, task, query, signal) {
  const body = { user_id: userId, task: task ?? undefined, query, options: { plain: true } };
  return call("POST", "v1/personalize", { body, signal });
}

/** Appends one item under a new id; what is known of the user then. */
export function append(id, { text, answer }) {
  const random = crypto.getRandomValues(new Uint32Array(2));
  const itemId = `page-${Array.from(random, (part) => part.toString(36)).join("")}`;
  const item = { item_id: itemId, text, answer, date: new Date().toISOString().slice(0, 10) };
  return call("PUT", `${userPath(id)}/history`, { body: { items: [item] } });
}

/** Queues a fit of the user's heads; what is known of the user then. */
export const fit = (id) => call("POST", `${userPath(id)}/fit`);
