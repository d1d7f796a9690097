// The videos that are indexed, some at a time.
import { $, ask, clock, el, nameOf, picture, shown, told, words } from "./base.js";
import { play } from "./player.js";
import "./basket.js";

const PAGE = 60;
let seen = 0;

function card({ id, video, duration, width, height, codec, recorded_at: at, recorded_from: from, partial, missing, tags }) {
  const name = shown(nameOf(video));
  const hit = { video: id, start: 0, end: Math.max(duration, 0.1), shown: duration / 2, path: video, label: name };
  const search = `/#${encodeURIComponent(JSON.stringify({ query: "", video: [video] }))}`;
  const remarks = [
    `${width} × ${height}, ${codec}`,
    at && from !== "file" ? words("recorded", { at: at.slice(0, 16).replace("T", " ") }) : null,
    tags.length ? words("tags", { tags: tags.map(shown).join(", ") }) : null,
    missing ? words("missing") : null,
    partial ? words("partial", { why: shown(partial) }) : null,
  ].filter(Boolean);
  return el("li", { className: "hit" },
    el("button", { type: "button", className: "picture", "aria-label": words("play", { name, from: clock(0), to: clock(duration), likely: remarks[0] }), onclick: () => play(hit) },
      picture(id, hit.shown, ""), el("span", { className: "span numbers" }, clock(duration))),
    el("div", { className: "about" }, el("div", { className: "name", title: shown(video) }, name), ...remarks.map((text) => el("div", { className: "soft" }, text)),
      el("a", { href: search }, words("search_in"))));
}

async function load(offset) {
  const name = $("#name").value.trim(); // One, for names may hold commas.
  const asked = new URLSearchParams([...(name ? [["video", name]] : []), ["offset", offset], ["limit", PAGE]]);
  const response = await ask(`/v1/videos?${asked}`);
  const all = Number(response.headers.get("x-total-count"));
  const { videos } = await response.json();
  const list = $("#list");
  if (!offset) list.replaceChildren();
  list.append(...videos.map(card));
  seen = offset + videos.length;
  if (!all) list.replaceChildren(el("li", { className: "soft" }, words("no_videos")));
  $("#count").textContent = words("videos_shown", { n: seen, all });
  $("#more").hidden = seen >= all;
}

$("#more").textContent = words("show_more");
$("#more").addEventListener("click", () => told(() => load(seen)));
$("#narrow").addEventListener("submit", (event) => {
  event.preventDefault();
  told(() => load(0));
});
told(() => load(0));
