// The search: what is asked, the turns as they come, the moments, what is judged.
import { $, Failure, ask, clock, download, el, events, nameOf, notice, percent, post, say, shown, told, words } from "./base.js";
import { show } from "./hits.js";

const form = $("#ask");
const box = $("#query");
const LISTS = ["video", "tags"];
const PLAIN = ["after", "before", "between", "min_duration", "max_duration", "not", "within"];
const NUMBERS = { top_k: 12, max_turns: 3, candidates: 16 };
const PARTS = ["then", "and", "without"];
let like = null; // { video, at, name } or { file, name }
let judged = []; // { verdict, video, start, end }
let answered = null; // { asked, label }
let latest = null; // What was asked last, answered or not.
let running = null;
let grid = null;

// Parts: a sentence each.
function addPart(kind, text = "") {
  const input = el("input", { value: text, maxLength: 1000, "aria-label": words(`part_${kind}`) });
  input.dataset.kind = kind;
  const row = el("div", { className: "part" }, el("span", { className: "kind" }, words(`part_${kind}`)), input,
    el("button", { type: "button", className: "quiet", "aria-label": words("drop_part"), onclick: () => (row.remove(), box.focus()) }, "✕"));
  $("#parts").append(row);
  return input;
}

function panel(name, shown) {
  $(`#${name}-panel`).hidden = !shown;
  $(`[aria-controls=${name}-panel]`).setAttribute("aria-expanded", shown);
}

// Names between commas; one that holds a comma stands in quotes, and quotes in it are doubled.
function split(text) {
  const parts = text.matchAll(/\s*(?:"((?:[^"]|"")*)"\s*|([^,]*))(?:,|$)/g);
  return [...parts].map(([, quoted, plain]) => quoted?.replaceAll('""', '"') ?? plain.trim()).filter(Boolean);
}

function join(several) {
  return several.map((one) => (/,|^"/.test(one) ? `"${one.replaceAll('"', '""')}"` : one)).join(", ");
}

// What is asked, as /v1/search takes it.
function asked() {
  const found = {};
  const text = box.value.trim();
  if (text) found.query = text;
  for (const name of LISTS) {
    const several = split(form.elements[name].value);
    if (several.length) found[name] = several;
  }
  for (const name of PLAIN) if (form.elements[name].value.trim()) found[name] = form.elements[name].value.trim();
  for (const [name, usual] of Object.entries(NUMBERS)) {
    const value = Number(form.elements[name].value) || usual;
    if (value !== usual || name === "top_k") found[name] = value;
  }
  for (const input of $("#parts").querySelectorAll("input")) {
    if (input.value.trim()) (found[input.dataset.kind] ??= []).push(input.value.trim());
  }
  if (like && !like.file) found.like = { video: like.video, at: like.at };
  for (const verdict of ["good", "bad"]) {
    const some = judged.filter((one) => one.verdict === verdict).map(({ video, start, end }) => ({ video, start, end }));
    if (some.length) found[verdict] = some;
  }
  return found;
}

// The other way round: from an address, or a saved search.
function fill(search) {
  box.value = search.query ?? "";
  for (const name of LISTS) form.elements[name].value = join(search[name] ?? []);
  for (const name of PLAIN) form.elements[name].value = search[name] ?? "";
  for (const [name, usual] of Object.entries(NUMBERS)) form.elements[name].value = search[name] ?? usual;
  $("#parts").replaceChildren();
  for (const kind of PARTS) for (const text of search[kind] ?? []) addPart(kind, text);
  like = search.like ? { ...search.like, name: search.like_name ?? `#${search.like.video}` } : null;
  judged = ["good", "bad"].flatMap((verdict) => (search[verdict] ?? []).map((one) => ({ verdict, ...one })));
  panel("parts", PARTS.some((kind) => search[kind]?.length));
  panel("filters", [...LISTS, ...PLAIN.slice(0, -1), ...Object.keys(NUMBERS)].some((name) => search[name] !== undefined && search[name] !== NUMBERS[name]));
  chips();
}

function chips() {
  const found = [];
  const chip = (text, drop) => found.push(el("span", { className: "chip" }, text, el("button", { type: "button", "aria-label": `${words("remove")}: ${text}`, onclick: drop }, "✕")));
  if (like) chip(like.file ? words("like_photo") : words("like_moment", { name: shown(like.name), at: clock(like.at) }), () => {
    like = null;
    $("#photo").value = "";
    chips();
  });
  $("#chips").replaceChildren(...found);
  const filters = [...LISTS, ...PLAIN].filter((name) => name !== "within" && form.elements[name].value.trim()).length;
  $("#filter-count").textContent = filters;
  $("#filter-count").hidden = !filters;
  const counts = { good: judged.filter((one) => one.verdict === "good").length, bad: judged.filter((one) => one.verdict === "bad").length };
  const bar = $("#judged");
  bar.hidden = !judged.length;
  bar.replaceChildren(el("span", {}, words("judged", counts)),
    el("button", { type: "button", className: "main", onclick: () => search() }, words("again")),
    el("button", { type: "button", className: "quiet", onclick: () => ((judged = []), chips(), $("#hits").refresh?.()) }, words("forget_judged")));
}

const spanOf = (moment) => ({ video: moment.video_id, start: moment.start, end: moment.end });
const alike = (one, moment) => one.video === moment.video_id && one.start === moment.start && one.end === moment.end;
const verdictOn = (moment) => judged.find((one) => alike(one, moment))?.verdict;

function judge(moment, verdict) {
  const before = verdictOn(moment);
  judged = judged.filter((one) => !alike(one, moment));
  if (before !== verdict) judged.push({ verdict, ...spanOf(moment) });
  chips();
  $("#hits").refresh();
  say($("#judged").hidden ? "" : $("#judged span").textContent);
}

async function moreLike(hit) {
  fill({ like: { video: hit.video, at: hit.shown }, like_name: nameOf(hit.path) });
  await search();
}

// What a turn did, in words.
function turnText(turn) {
  const parts = [];
  const count = turn.candidates?.length ?? 0;
  if (turn.action === "look up words") parts.push(words("words_looked_up"));
  else if (turn.action.startsWith('retrieve and verify "')) parts.push(words("part_looked", { n: count, what: turn.action.slice(20) }));
  else if (!count) parts.push(words("looked_none"));
  else parts.push(words(turn.turn === 1 ? "looked" : "looked_more", { n: count }));
  const best = Math.max(...(turn.candidates ?? []).map((one) => one.match_probability ?? -1));
  if (best >= 0) parts.push(words("likeliest", { p: percent(best) }));
  const end = turn.then.startsWith("not sure") ? words("not_sure") : turn.then.replace(/^(no )?match: /, "");
  if (end && end !== "a part of several") parts.push(end);
  return parts.join(", ");
}

function refinedText({ refinement, soft_tokens: soft }) {
  if (!refinement) return null;
  const list = (some) => some.slice(0, 3).join(", ");
  const moves = [
    refinement.gained.length ? words("towards", { words: list(refinement.gained) }) : null,
    refinement.lost.length ? words("away", { words: list(refinement.lost) }) : null,
  ].filter(Boolean);
  return [words("refined", { how: soft ? words("soft", { n: soft }) : refinement.method }), ...moves].join(", ");
}

function addTurn(turn) {
  const refined = refinedText(turn);
  const item = el("li", {},
    refined ? el("span", { className: "refined" }, refined) : null,
    el("span", {}, turnText(turn)));
  $("#turns .asking")?.remove();
  $("#turns").append(item);
  if (turn.then.startsWith("not sure")) $("#turns").append(waiting());
  say([refined, turnText(turn)].filter(Boolean).join(". "));
}

const waiting = () => el("li", { className: "asking" }, el("span", {}, words("asking")));

function verdictText(answer) {
  const [first] = answer.moments;
  if (!first) return [words("nothing"), ""];
  const likely = first.match_probability === null ? "–" : percent(first.match_probability);
  if (answer.verdict === "match") return [words("found"), first.source === "seen" ? words("found_likely", { p: likely }) : words("found_words")];
  if (answer.verdict === "no_match") return [words("not_found"), words("not_found_likely", { p: likely, threshold: percent(answer.threshold ?? 0) })];
  return [words("unverified"), words("unverified_note")];
}

function showAnswer(answer, sent) {
  $("#turns .asking")?.remove();
  if (!$("#turns").children.length || answer.turns.length > $("#turns").children.length) {
    $("#turns").replaceChildren();
    answer.turns.forEach(addTurn);
    $("#turns .asking")?.remove();
  }
  const [first, rest] = verdictText(answer);
  const turns = answer.turns.length === 1 ? words("one_turn") : words("turns", { n: answer.turns.length });
  $("#verdict").className = `verdict ${answer.verdict}`;
  $("#verdict").replaceChildren(el("strong", {}, first), ` ${rest} `,
    el("span", { className: "soft numbers" }, words("took", { ms: Math.round(answer.timing_ms.total), turns })));
  const told = [...(answer.read_as ? [words("read_as", { what: answer.read_as })] : []), ...answer.notices];
  $("#notices").replaceChildren(...told.map((text) => el("li", {}, shown(text))));
  answered = { asked: sent, label: answer.query };
  const judges = !(sent.then || sent.and || sent.without || answer.read_as);
  const guess = (moment) => answer.threshold !== null && moment.source === "seen" && (moment.match_probability ?? 0) < answer.threshold;
  const compared = { query: sent.query, like: sent.like, not: sent.not };
  grid = show($("#hits"), answer.moments, {
    label: () => answer.query,
    asked: () => (compared.query || compared.like ? compared : null),
    guess,
    more: moreLike,
    leave: () => box.focus(),
    keys: { r: () => judged.length && search() },
    ...(judges ? { judge, judged: verdictOn } : {}),
  });
  $("#save").hidden = Boolean(like?.file);
  $("#receipt").hidden = Boolean(sent.like || sent.not || sent.good || sent.bad || like?.file);
  say(`${first} ${rest} ${words("hits_found", { n: answer.moments.length })}`);
}

// What was found before is no answer to what was asked now.
function unanswered() {
  const inside = $("#hits").contains(document.activeElement);
  $("#hits").replaceChildren();
  if (inside) box.focus();
  [answered, grid] = [null, null];
}

async function search({ push = true } = {}) {
  const sent = asked();
  if (!sent.query && !sent.like && !like?.file && !sent.good) {
    notice(words("no_words"));
    return box.focus();
  }
  running?.abort();
  const stopping = (running = new AbortController());
  if (push && !like?.file) history.pushState(null, "", `#${encodeURIComponent(JSON.stringify(like ? { ...sent, like_name: like.name } : sent))}`);
  document.title = words("title", { query: sent.query ?? words("more") });
  $("#empty").hidden = true;
  $("#answer").hidden = false;
  $("#turns").replaceChildren(waiting());
  $("#verdict").replaceChildren();
  $("#notices").replaceChildren();
  $("#hits").classList.add("old");
  [$("#save").hidden, $("#receipt").hidden] = [true, true];
  latest = sent;
  [$("#go").hidden, $("#stop").hidden] = [true, false];
  say(words("asking"));
  await told(async () => {
    let came = false;
    try {
      for await (const [name, value] of stream({ ...sent, trace: true }, stopping.signal)) {
        if (name === "turn") addTurn(value);
        else if (name === "answer") {
          showAnswer(value, sent);
          came = true;
        }
        else throw new Failure(500, value.message);
      }
    } catch (error) {
      if (running === stopping) $("#turns").replaceChildren();
      if (error.name === "AbortError" && running === stopping) say(words("stopped"));
      throw error;
    } finally {
      if (running === stopping) {
        running = null;
        if (!came) unanswered();
        $("#hits").classList.remove("old");
        [$("#go").hidden, $("#stop").hidden] = [false, true];
      }
    }
  });
}

async function* stream(body, signal) {
  let content = body;
  if (like?.file) {
    content = new FormData();
    content.append("request", JSON.stringify(body));
    content.append("photo", like.file);
  }
  const headers = { Accept: "text/event-stream" };
  yield* events(await ask("/v1/search", { method: "POST", body: content, headers, signal }));
}

function takePhoto(file) {
  if (!file?.type.startsWith("image/")) return;
  like = { file, name: file.name };
  chips();
  search();
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  const { query } = asked();
  // What was judged belongs to what was asked.
  if (latest && query !== latest.query) judged = [];
  chips();
  search();
});
form.addEventListener("input", chips);
$("#stop").addEventListener("click", () => running?.abort());
for (const name of ["parts", "filters"]) {
  const button = $(`[aria-controls=${name}-panel]`);
  button.addEventListener("click", () => {
    const opens = $(`#${name}-panel`).hidden;
    panel(name, opens);
    if (opens && name === "filters") form.elements.video.focus();
  });
}
for (const button of form.querySelectorAll("[data-part]")) button.addEventListener("click", () => addPart(button.dataset.part).focus());
$("#photo").addEventListener("change", (event) => takePhoto(event.target.files[0]));
document.addEventListener("paste", (event) => takePhoto(event.clipboardData.files[0]));
document.addEventListener("dragover", (event) => event.preventDefault());
document.addEventListener("drop", (event) => {
  event.preventDefault();
  takePhoto(event.dataTransfer.files[0]);
});
box.addEventListener("keydown", (event) => {
  if (event.key === "ArrowDown" && grid && !$("#answer").hidden) {
    event.preventDefault();
    grid.focus();
  }
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && !$("dialog[open]")) running?.abort();
});
$("#receipt").addEventListener("click", () =>
  told(async () => download(await ask("/v1/receipt", { method: "POST", body: answered.asked }), "receipt.json")));
$("#save").addEventListener("click", () =>
  told(async () => {
    const name = prompt(words("name_search"), (answered.label.match(/[A-Za-z0-9]+/g) ?? ["search"]).slice(0, 4).join("-"));
    if (!name) return;
    await post("/v1/saved", { name, search: answered.asked });
    notice(words("saved", { name }));
  }));

// Whoever was faster than this script has sent the form as browsers do.
const early = new URLSearchParams(location.search).get("query");
if (early !== null) history.replaceState(null, "", early ? `/#${encodeURIComponent(JSON.stringify({ query: early }))}` : "/");

function fromAddress() {
  const text = location.hash.slice(1);
  if (!text) return box.focus();
  try {
    fill(JSON.parse(decodeURIComponent(text)));
  } catch {
    return box.focus();
  }
  const { query, like: picture, good } = asked();
  if (query || picture || good) search({ push: false });
  else box.focus();
}
window.addEventListener("popstate", fromAddress);
fromAddress();
