// Requests to the API. All addresses are relative to the page, so that the page works under any path of a reverse proxy.

import { language, t } from "./language.js";

const LANGUAGE = { "Accept-Language": language }; // of sentences in a response

// A path of the API from the server's root, relative to the page.
export const relative = (path) => path.replace(/^\//, "");

// No response, or not all of it; the browser's own text is English, and names no cause.
export class NoAnswer extends Error {
  constructor() {
    super(t("no answer from soundwatch"));
  }
}

const answered = (error) => {
  if (error instanceof SyntaxError) return null; // not JSON
  throw error instanceof TypeError ? new NoAnswer() : error;
};

// A response to a request in the language of the page; without a login, the page goes to the login.
export async function request(url, options = {}) {
  const response = await fetch(url, { ...options, headers: { ...LANGUAGE, ...options.headers } }).catch(answered);
  if (response.status === 401) location.assign("login");
  if (response.ok) return response;
  const refusal = await response.json().catch(answered);
  throw new Error(refusal?.error ?? `${response.status} ${response.statusText}`);
}

export async function ask(path, { method = "GET", body, query = {}, headers = {}, signal } = {}) {
  const parts = Object.entries(query).filter(([, value]) => value !== "" && value !== null && value !== undefined);
  const url = parts.length ? `${path}?${new URLSearchParams(parts)}` : path;
  const options = { method, headers, signal };
  if (body !== undefined) {
    options.body = JSON.stringify(body);
    options.headers = { ...headers, "Content-Type": "application/json" };
  }
  const response = await request(url, options);
  const result = await response.json().catch(answered);
  if (result === null) throw new Error(t("The answer is not from soundwatch. If a proxy asks for a login, load the page again."));
  return result;
}
