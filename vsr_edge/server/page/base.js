// What every page shares: elements, words, requests, dialogs.
import texts from "./texts.js";

export const $ = (selector, within = document) => within.querySelector(selector);

// An element with its properties and children; names with a dash are attributes.
export function el(name, properties = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (value === undefined || value === null) continue;
    if (key.includes("-") || key === "role" || key === "for") made.setAttribute(key, value);
    else made[key] = value;
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return made;
}

export function words(name, values = {}) {
  return texts[name].replace(/\{(\w+)\}/g, (_, key) => values[key] ?? "");
}

export const percent = (share) => `${Math.round(share * 100)} %`;

export function clock(seconds) {
  const tenths = Math.round(seconds * 10);
  const whole = Math.floor(tenths / 10);
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60];
  const rest = `${String(whole % 60).padStart(2, "0")}.${tenths % 10}`;
  return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${rest}` : `${minutes}:${rest}`;
}

export const nameOf = (path) => path.split(/[/\\]/).pop();

// Escapes of names that are no UTF-8 come as lone surrogates.
export const shown = (text) => text.replace(/[\ud800-\udfff]/gu, "�");

// For who hears the page.
export function say(text) {
  $("#said").textContent = text;
}

let hiding = 0;
export function notice(text) {
  const place = $("#notice");
  place.textContent = text;
  place.hidden = !text;
  clearTimeout(hiding);
  if (text) hiding = setTimeout(() => (place.hidden = true), 12000);
}

export class Failure extends Error {
  constructor(status, said, kind) {
    super(said);
    this.status = status;
    this.kind = kind;
  }
}

let session = null;
let known = location.pathname === "/login" ? Promise.resolve() : begin();
known.catch(() => {}); // Whoever asks for something first is told.

async function begin() {
  session = (await (await sent("/page/session")).json()).session;
  const out = $("#log-out");
  if (session && out) {
    out.hidden = false;
    out.title = session.name;
  }
}

// Who is logged in, asked anew, once for all who found that it is not as it was `before`.
function anew(before) {
  if (known === before) known = begin();
  return known;
}

$("#log-out")?.addEventListener("click", async () => {
  await ask("/v1/session", { method: "DELETE" });
  sessionStorage.clear();
  location.assign("/login");
});

function toLogin() {
  const here = location.pathname;
  location.assign(`/login?next=${encodeURIComponent(here)}`);
  return new Promise(() => {});
}

// A response, if it is a good one; what is posted is JSON or a form.
export async function ask(path, options = {}) {
  let before = known;
  await before.catch(() => anew(before));
  before = known;
  try {
    return await sent(path, options);
  } catch (error) {
    // Somebody logged in anew in another tab.
    if (error.kind !== "NoCsrfToken") throw error;
    await anew(before);
    return sent(path, options);
  }
}

async function sent(path, { method = "GET", body, headers: more = {}, signal } = {}) {
  const headers = { ...more };
  if (session) headers["X-CSRF-Token"] = session.csrf;
  let content = body;
  if (body !== undefined && !(body instanceof FormData)) {
    headers["Content-Type"] = "application/json";
    content = JSON.stringify(body);
  }
  let response;
  try {
    response = await fetch(path, { method, body: content, headers, signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Failure(0, words("unreachable"));
  }
  if (response.status === 401 && location.pathname !== "/login") return toLogin();
  if (!response.ok) {
    const said = await response.json().catch(() => ({}));
    throw new Failure(response.status, said.message ?? response.statusText, said.kind);
  }
  return response;
}

export const get = async (path) => (await ask(path)).json();
export const post = async (path, body) => (await ask(path, { method: "POST", body })).json();

// Server-sent events of a response: [name, value] each.
export async function* events(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    text += value;
    let end;
    while ((end = text.indexOf("\n\n")) >= 0) {
      const lines = text.slice(0, end).split("\n");
      text = text.slice(end + 2);
      const part = (name) => lines.find((line) => line.startsWith(name))?.slice(name.length);
      yield [part("event: "), JSON.parse(part("data: "))];
    }
  }
}

// Whether what is asked for went wrong in a way that is to be told.
export async function told(work) {
  try {
    notice("");
    return await work();
  } catch (error) {
    if (error.name !== "AbortError") notice(error.message);
    if (!(error instanceof Failure) && error.name !== "AbortError") throw error;
    return undefined;
  }
}

export async function download(response, name) {
  const said = response.headers.get("content-disposition") ?? "";
  const star = said.match(/filename\*=utf-8''([^;]+)/)?.[1];
  const file = star ? decodeURIComponent(star) : (said.match(/filename="([^"]+)"/)?.[1] ?? name);
  const url = URL.createObjectURL(await response.blob());
  el("a", { href: url, download: file }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60000);
}

export const frameUrl = (video, at) => `/v1/videos/${video}/frame?t=${at.toFixed(3)}`;

// A picture that says so where there is none.
export function picture(video, at, alt) {
  const place = el("span", { className: "frame" });
  if (video === null || video === undefined) {
    place.append(el("span", { className: "none" }, words("no_picture")));
    return place;
  }
  const image = el("img", { alt, loading: "lazy", decoding: "async", width: 480, height: 270 });
  image.addEventListener("error", () => image.replaceWith(el("span", { className: "none" }, words("no_picture"))), { once: true });
  image.src = frameUrl(video, at);
  place.append(image);
  return place;
}

export function open(dialog) {
  if (!dialog.open) dialog.showModal();
}

for (const dialog of document.querySelectorAll("dialog")) {
  $(".close", dialog).addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close();
  });
}

export const typing = (event) =>
  event.target.matches("input:not([type=range]), textarea, select") || event.ctrlKey || event.metaKey || event.altKey;

$("#open-keys")?.addEventListener("click", () => open($("#keys")));
document.addEventListener("keydown", (event) => {
  if (typing(event) || $("dialog[open]")) return;
  if (event.key === "?" && $("#keys")) {
    event.preventDefault();
    open($("#keys"));
  } else if (event.key === "/") {
    const box = $("input[type=search]");
    event.preventDefault();
    if (box) box.select();
    else location.assign("/");
  }
});
