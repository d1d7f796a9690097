// Plays a moment: the file itself where the browser can, else fragments that the server makes.
import { $, ask, clock, el, get, nameOf, open, shown, typing, words } from "./base.js";

const dialog = $("#player");
const video = $("#video");
const position = $("#position");
const state = $("#video-state");
let now = null; // { hit, beside, duration, signal, loading, live, resumes, url }
let loading = null;
let dragged = false;
let wanted = null; // A time that is sought once the one before it is found.
let found = null; // The time that was found last.

// `hit`: video, start, end, path, label. `beside`: next and previous hit, what may be done, what was asked.
export async function play(hit, beside = {}) {
  stop();
  const stopping = new AbortController();
  loading = stopping;
  now = { hit, beside, duration: Math.max(hit.end, 0.1), signal: stopping.signal };
  const name = shown(nameOf(hit.path));
  const about = [`${clock(hit.start)}–${clock(hit.end)}`, hit.label && shown(hit.label) !== name ? shown(hit.label) : null];
  $("#player-title").replaceChildren(name, " ", el("span", { className: "soft numbers" }, about.filter(Boolean).join("  ·  ")));
  $("#player-acts").replaceChildren(...(beside.acts?.() ?? []));
  $("#previous").disabled = !beside.previous;
  $("#next").disabled = !beside.next;
  state.textContent = words("loading");
  curve([], []);
  open(dialog);
  $("#play").focus();
  try {
    const { duration } = (await get(`/v1/videos/${hit.video}`)).video;
    if (stopping.signal.aborted) return;
    now.duration = duration;
    position.max = duration;
    mark();
    timeline(hit, beside.asked);
    await load(hit.start);
  } catch (error) {
    if (error.name !== "AbortError" && !stopping.signal.aborted) state.textContent = words("stream_failed", { why: error.message });
  }
}

function stop() {
  loading?.abort();
  now?.loading?.abort();
  dragged = false;
  wanted = found = null;
  video.pause();
  video.removeAttribute("src");
  video.load();
  if (now?.url) URL.revokeObjectURL(now.url);
  now = null;
}

// From a time on; what was loading before is given up.
async function load(at) {
  const { hit } = now;
  wanted = null;
  now.loading?.abort();
  now.loading = new AbortController();
  const { signal } = now.loading;
  const path = `/v1/videos/${hit.video}/stream`;
  const response = await ask(`${path}?from=${at.toFixed(3)}`, { headers: { Range: "bytes=0-0" }, signal });
  if (response.status === 206) {
    await response.arrayBuffer();
    video.src = path;
    await ready(at, signal);
  } else {
    await fragments(response, at, signal);
  }
}

async function ready(at, signal) {
  await new Promise((resolve, reject) => {
    const failed = () => reject(new Error(video.error?.message || ""));
    video.addEventListener("loadedmetadata", resolve, { once: true, signal });
    video.addEventListener("error", failed, { once: true, signal });
    signal.addEventListener("abort", () => reject(new DOMException("", "AbortError")), { once: true });
  });
  video.currentTime = at;
  state.textContent = "";
}

// MP4 that comes while it is made: its clock is put to that of the video.
async function fragments(response, at, signal) {
  const start = Number(response.headers.get("x-video-start") ?? at);
  const end = Number(response.headers.get("x-video-end") ?? now.duration);
  const reader = response.body.getReader();
  let { value: head } = await reader.read();
  const source = new MediaSource();
  if (now.url) URL.revokeObjectURL(now.url);
  now.url = URL.createObjectURL(source);
  now.live = { start, end };
  video.src = now.url;
  await new Promise((resolve) => source.addEventListener("sourceopen", resolve, { once: true, signal }));
  while (!codecs(head)) {
    const { done, value } = await reader.read();
    if (done) throw new Error("");
    head = joined(head, value);
  }
  const buffer = source.addSourceBuffer(`video/mp4; codecs="${codecs(head)}"`);
  buffer.timestampOffset = start;
  source.duration = now.duration;
  const waiting = ready(at, signal);
  pour(source, buffer, head, reader, signal);
  await waiting;
}

const joined = (one, other) => {
  const both = new Uint8Array(one.length + other.length);
  both.set(one);
  both.set(other, one.length);
  return both;
};

// As RFC 6381 names them, from the boxes of the beginning.
function codecs(bytes) {
  const text = new TextDecoder("latin1").decode(bytes);
  const at = text.indexOf("avcC");
  if (at < 0 || text.indexOf("moof") < 0) return null;
  const hex = [...bytes.slice(at + 5, at + 8)].map((byte) => byte.toString(16).padStart(2, "0"));
  return `avc1.${hex.join("")}${text.includes("mp4a") ? ", mp4a.40.2" : text.includes(".mp3") ? ", mp3" : ""}`;
}

async function pour(source, buffer, head, reader, signal) {
  const append = (bytes) =>
    new Promise((resolve, reject) => {
      buffer.addEventListener("updateend", resolve, { once: true });
      buffer.addEventListener("error", () => reject(new Error("")), { once: true });
      buffer.appendBuffer(bytes);
    });
  try {
    await append(head);
    for (;;) {
      const { done, value } = await reader.read();
      if (done || signal.aborted) break;
      await append(value);
    }
    if (source.readyState === "open" && !signal.aborted && now.live.end > now.duration - 0.5) source.endOfStream();
  } catch (error) {
    // What is full goes on from where it was, once that is reached.
    if (!signal.aborted && error.name !== "QuotaExceededError") state.textContent = words("stream_failed", { why: error.message });
  }
  reader.cancel().catch(() => {});
  if (!signal.aborted) now.live.over = true;
}

const buffered = (at) => [...Array(video.buffered.length).keys()].some((i) => video.buffered.start(i) <= at && at < video.buffered.end(i));

video.addEventListener("waiting", () => {
  const at = video.currentTime;
  if (now?.live?.over && !buffered(at + 0.2) && at < now.duration - 0.5) reload(at);
});

const within = (at) => Math.min(Math.max(at, 0), now.duration);
// Whether a time is to be made first, which takes a while.
const unmade = (at) => now?.live && !buffered(within(at));

async function seek(at) {
  if (!now) return;
  if (unmade(at)) await reload(within(at));
  else if (video.seeking) wanted = within(at); // Else the picture of the earlier one may stay.
  else video.currentTime = within(at);
}

video.addEventListener("seeked", () => {
  const at = wanted;
  wanted = null;
  if (at !== null) return seek(at);
  // A browser may keep the picture of an earlier time; sought once more, the same time shows its own.
  const here = video.currentTime;
  if (here === found) return;
  found = here;
  setTimeout(() => now && video.paused && !video.seeking && video.currentTime === here && (video.currentTime = here), 400);
});

// Another stretch of a video that comes while it is made.
async function reload(at) {
  const mine = now;
  mine.live.over = false;
  mine.resumes ||= !video.paused;
  state.textContent = words("loading");
  try {
    await load(at);
    if (now === mine && mine.resumes) await video.play().catch(() => {});
    mine.resumes = false;
  } catch (error) {
    if (error.name !== "AbortError" && now === mine) state.textContent = words("stream_failed", { why: error.message });
  }
}

async function timeline(hit, asked) {
  if (!asked) return;
  const { signal } = now;
  try {
    const response = await ask(`/v1/videos/${hit.video}/relevance`, { method: "POST", body: asked, signal });
    const { times, above } = await response.json();
    if (!signal.aborted) curve(times, above);
  } catch (error) {
    if (error.name !== "AbortError") $("#timeline-note").textContent = words("no_relevance", { why: error.message });
  }
}

// Heights are standard deviations above what is usual in the archive, from one on.
function curve(times, above) {
  const high = Math.max(4, ...above);
  const x = (at) => ((1000 * at) / (now?.duration || 1)).toFixed(1);
  const y = (value) => (98 - (94 * Math.max(value - 0.5, 0)) / (high - 0.5)).toFixed(1);
  let path = "M0,100";
  times.forEach((at, i) => {
    path += `L${x(at)},${y(above[i])}L${x(times[i + 1] ?? now.duration)},${y(above[i])}`;
  });
  $("#relevance .curve").setAttribute("d", times.length ? `${path}L1000,100Z` : "");
}

function mark() {
  const { hit, duration } = now;
  const moment = $("#relevance .moment");
  moment.setAttribute("x", (1000 * hit.start) / duration);
  moment.setAttribute("width", Math.max((1000 * (hit.end - hit.start)) / duration, 3));
}

function tick() {
  if (!now) return;
  const at = video.currentTime;
  $("#relevance .needle").setAttribute("x", Math.min((1000 * at) / now.duration, 998));
  if (!dragged && (document.activeElement !== position || !video.paused)) position.value = at;
  $("#clock").textContent = `${clock(at)} / ${clock(now.duration)}`;
  position.setAttribute("aria-valuetext", `${clock(at)}, ${clock(now.hit.start)}–${clock(now.hit.end)}`);
}

const press = () => ($("#play").textContent = words(video.paused ? "start" : "pause"));
const flip = () => (video.paused ? video.play().catch(() => {}) : video.pause());
const step = (seconds) => seek((wanted ?? video.currentTime) + seconds);

for (const name of ["timeupdate", "seeked", "loadedmetadata"]) video.addEventListener(name, tick);
for (const name of ["play", "pause", "emptied"]) video.addEventListener(name, press);
press();
position.addEventListener("input", () => {
  const at = Number(position.value);
  dragged = Boolean(unmade(at));
  if (!dragged) seek(at);
});
position.addEventListener("change", () => {
  if (dragged) seek(Number(position.value));
  dragged = false;
});
video.addEventListener("click", flip);
$("#play").addEventListener("click", flip);
$("#previous").addEventListener("click", () => now?.beside.previous?.());
$("#next").addEventListener("click", () => now?.beside.next?.());
dialog.addEventListener("close", stop);
dialog.addEventListener("keydown", (event) => {
  if (typing(event)) return;
  const on = event.target === position;
  const keys = {
    " ": event.target.matches("button") && event.target.id !== "play" ? undefined : flip,
    ArrowLeft: on ? undefined : () => step(-1),
    ArrowRight: on ? undefined : () => step(1),
    ",": () => (video.pause(), step(-0.04)),
    ".": () => (video.pause(), step(0.04)),
    j: () => step(-5),
    l: () => step(5),
    k: flip,
    n: now?.beside.next,
    p: now?.beside.previous,
    ...now?.beside.keys,
  };
  const act = keys[event.key];
  if (act) {
    event.preventDefault();
    act();
  }
});
