// Hits that are gathered, for as long as this tab is open: to be cut, or as a list.
import { $, ask, clock, download, el, nameOf, open, picture, say, shown, told, words } from "./base.js";

const KEY = "basket";
const MOST = 200;
const MOST_CUT = 20;
const MOST_SECONDS = 299; // The server cuts 300 at once: what is rounded has room.
let hits = JSON.parse(sessionStorage.getItem(KEY) ?? "[]");
const changed = new Set();

const same = (a, b) => a.video === b.video && a.start === b.start && a.end === b.end;
export const holds = (hit) => hits.some((one) => same(one, hit));
export const onChange = (tell) => changed.add(tell);

export function toggle(hit) {
  if (holds(hit)) hits = hits.filter((one) => !same(one, hit));
  else if (hits.length >= MOST) return say(words("basket_full", { n: MOST }));
  else hits = [...hits, hit];
  keep();
  say(words("basket_count", { n: hits.length }));
}

function keep() {
  sessionStorage.setItem(KEY, JSON.stringify(hits));
  show();
  changed.forEach((tell) => tell());
}

function show() {
  $("#basket-count").textContent = hits.length;
  $("#open-basket").classList.toggle("full", hits.length > 0);
  const rows = hits.map((hit) =>
    el("li", {},
      picture(hit.video, hit.shown, ""),
      el("div", { className: "about" },
        el("strong", {}, shown(hit.label)),
        el("span", { className: "soft numbers" }, `${clock(hit.start)}–${clock(hit.end)}`),
        el("span", { className: "soft" }, shown(nameOf(hit.path)))),
      el("button", { type: "button", className: "quiet", "aria-label": `${words("remove")}: ${shown(hit.label)} ${clock(hit.start)}`, onclick: () => toggle(hit) }, "✕")));
  $("#basket-hits").replaceChildren(...(rows.length ? rows : [el("li", { className: "soft" }, words("basket_empty"))]));
  for (const button of document.querySelectorAll("#basket [data-make], #clear-basket")) button.disabled = !hits.length;
}

function batches(some, pad) {
  const found = [];
  let seconds = 0;
  for (const hit of some) {
    const long = hit.end - hit.start + 2 * pad;
    if (!found.length || found.at(-1).length >= MOST_CUT || seconds + long > MOST_SECONDS) {
      found.push([]);
      seconds = 0;
    }
    found.at(-1).push(hit);
    seconds += long;
  }
  return found;
}

async function make(kind) {
  const pad = Math.min(Math.max(Number($("#pad").value) || 0, 0), 60);
  const sent = hits.map(({ video, start, end, label, score, match_probability }) => ({ video, start, end, label, score, match_probability }));
  const cuts = kind === "cut";
  // So many a request: the next ZIP follows.
  for (const some of cuts ? batches(sent, pad) : [sent]) {
    say(cuts ? words("cutting", { n: some.length }) : words("listing"));
    const body = cuts ? { hits: some, pad } : { hits: some, pad, format: kind, title: hits[0].label };
    const response = await ask(cuts ? "/v1/cut" : "/v1/list", { method: "POST", body });
    await download(response, cuts ? "clips.zip" : `hits.${kind}`);
  }
}

$("#open-basket").addEventListener("click", () => open($("#basket")));
$("#clear-basket").addEventListener("click", () => {
  hits = [];
  keep();
});
for (const button of document.querySelectorAll("#basket [data-make]")) {
  button.addEventListener("click", async () => {
    button.setAttribute("aria-busy", "true");
    await told(() => make(button.dataset.make));
    button.removeAttribute("aria-busy");
  });
}
show();
