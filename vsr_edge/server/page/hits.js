// A grid of moments: pictures that are scrubbed, what may be done with each, the keys.
import { $, clock, el, frameUrl, nameOf, percent, picture, shown, typing, words } from "./base.js";
import { holds, onChange, toggle } from "./basket.js";
import { play } from "./player.js";

const SCRUBBED = 9; // Frames of a span.
const calm = matchMedia("(prefers-reduced-motion: reduce)");

// How likely a moment is right, in words and as a share.
export function likelihood(moment) {
  if (moment.source && moment.source !== "seen") {
    return { text: words({ said: "said", written: "written" }[moment.source] ?? "said_and_seen"), level: "sure" };
  }
  const share = moment.match_probability;
  if (share === null || share === undefined) {
    return { text: words("score", { s: moment.score.toFixed(3) }), level: "none" };
  }
  const [name, level] =
    share >= 0.9 ? ["certain", "sure"]
    : share >= 0.75 ? ["very_likely", "sure"]
    : share >= 0.55 ? ["likely", "sure"]
    : share >= 0.45 ? ["even", "maybe"]
    : share >= 0.2 ? ["unlikely", "maybe"]
    : ["very_unlikely", "maybe"];
  return { text: `${words(name)} ${percent(share)}`, level };
}

const when = (at) => `${at.slice(0, 16).replace("T", " ")}${/(Z|\+00:00)$/.test(at) ? " UTC" : ""}`;

// As the basket keeps a moment, and the player takes it.
export const hitOf = (moment, label) => ({
  video: moment.video_id,
  start: moment.start,
  end: moment.end,
  shown: moment.best ?? (moment.start + moment.end) / 2,
  path: moment.video,
  label,
  score: moment.score ?? null,
  match_probability: moment.match_probability ?? null,
});

// Moving over a picture, or resting on it by keyboard, goes through the span.
function scrubbed(button, hit) {
  const times = Array.from({ length: SCRUBBED }, (_, i) => hit.start + ((hit.end - hit.start) * (i + 0.5)) / SCRUBBED);
  const bar = el("span", { className: "scrub", "aria-hidden": "true" });
  let images = null;
  let timer = 0;
  const image = () => $("img", button);
  const load = () => (images ??= times.map((at) => Object.assign(new Image(), { src: frameUrl(hit.video, at) })));
  const show = (i) => {
    const wanted = load()[i];
    if (!image() || !wanted.complete || !wanted.naturalWidth) return;
    image().src = wanted.src;
    bar.style.left = `${(100 * (i + 0.5)) / SCRUBBED}%`;
    button.classList.add("scrubbing");
  };
  const back = () => {
    clearInterval(timer);
    button.classList.remove("scrubbing");
    if (images && image()) image().src = frameUrl(hit.video, hit.shown);
  };
  button.append(bar);
  button.addEventListener("pointermove", (event) => {
    if (event.pointerType !== "mouse") return;
    const box = button.getBoundingClientRect();
    show(Math.min(Math.max(Math.floor((SCRUBBED * (event.clientX - box.left)) / box.width), 0), SCRUBBED - 1));
  });
  button.addEventListener("pointerleave", back);
  button.addEventListener("focus", () => {
    if (calm.matches || !button.matches(":focus-visible")) return;
    load();
    let i = 0;
    clearInterval(timer);
    // No blur comes from what is taken away.
    timer = setInterval(() => (button.isConnected ? show(i++ % SCRUBBED) : back()), 500);
  });
  button.addEventListener("blur", back);
}

function act(symbol, name, press, pressed) {
  const button = el("button", { type: "button", className: "act", title: words(name), "aria-label": words(name), onclick: press }, symbol);
  if (pressed !== undefined) button.setAttribute("aria-pressed", pressed);
  return button;
}

// `moments` in `list`. `to`: label of a moment, what was asked, judge(moment, verdict), judged(moment), more(hit), guess(moment).
export function show(list, moments, to) {
  const items = moments.map((moment, i) => card(moment, i));
  const inside = list.contains(document.activeElement);
  list.replaceChildren(...items);
  let active = 0;
  activate(0, inside);
  if (inside && !items.length) to.leave?.();

  function card(moment, i) {
    const hit = hitOf(moment, to.label(moment));
    const name = shown(nameOf(moment.video));
    const likely = to.likely?.(moment) ?? likelihood(moment);
    const guess = to.guess?.(moment) ?? false;
    const span = `${clock(moment.start)}–${clock(moment.end)}`;
    const there = moment.video_id !== null && moment.video_id !== undefined;
    const button = el("button", {
      type: "button", className: "picture", disabled: !there, onclick: () => start(i), onfocus: () => activate(i, false),
      "aria-label": words("play", { name, from: clock(moment.start), to: clock(moment.end), likely: guess ? `${likely.text}, ${words("guess")}` : likely.text }),
    }, picture(moment.video_id, hit.shown, ""), el("span", { className: "span numbers" }, span));
    if (there) scrubbed(button, hit);
    const remarks = [
      moment.text ? `“${shown(moment.text)}”` : null,
      moment.recorded_at && moment.recorded_from !== "file" ? words("recorded", { at: when(moment.recorded_at) }) : null,
      moment.missing ? words("missing") : null,
      ...(to.remarks?.(moment) ?? []),
    ].filter(Boolean);
    const item = el("li", { className: "hit" },
      button,
      el("div", { className: "about" },
        el("div", { className: `likely ${guess ? "guess" : likely.level}` }, likely.text, guess ? el("span", { className: "tag" }, words("guess")) : null),
        el("div", { className: "name", title: shown(moment.video) }, name),
        ...remarks.map((text) => el("div", { className: "soft" }, text))),
      there ? el("div", { className: "acts", role: "group", "aria-label": `${name} ${span}` }, ...acts(moment, hit)) : null);
    item.refresh = () => there && $(".acts", item).replaceChildren(...acts(moment, hit));
    return item;
  }

  function acts(moment, hit) {
    const done = [];
    const refreshed = (work) => () => {
      const at = document.activeElement?.getAttribute("aria-label");
      work();
      const again = [...document.querySelectorAll(".acts button")].find((one) => one.getAttribute("aria-label") === at && one.closest(".hit") === list.children[active]);
      if (at && document.activeElement === document.body) again?.focus();
    };
    if (to.judge) {
      const verdict = to.judged(moment);
      done.push(
        act("✓", "this", refreshed(() => to.judge(moment, "good")), verdict === "good"),
        act("✗", "not_this", refreshed(() => to.judge(moment, "bad")), verdict === "bad"));
    }
    if (to.more) done.push(act("≈", "more", () => to.more(hit)));
    done.push(act(holds(hit) ? "−" : "+", holds(hit) ? "in_basket" : "add", refreshed(() => toggle(hit)), holds(hit)));
    return done;
  }

  function refresh() {
    for (const item of list.children) item.refresh?.();
    activate(active, false);
  }
  if (!list.refresh) onChange(() => list.refresh());
  list.refresh = refresh;

  // One of them is a stop of the Tab key, with its buttons.
  function activate(i, focus = true) {
    active = Math.min(Math.max(i, 0), items.length - 1);
    items.forEach((item, at) => {
      for (const button of item.querySelectorAll("button")) button.tabIndex = at === active ? 0 : -1;
    });
    if (focus && items.length) $(".picture", items[active]).focus();
  }

  function start(i, autoplay = false) {
    const moment = moments[i];
    const hit = hitOf(moment, to.label(moment));
    if (hit.video === null || hit.video === undefined) return;
    active = i;
    const key = (work) => () => {
      work();
      $("#player-acts").replaceChildren(...acts(moment, hit));
    };
    play(hit, {
      asked: to.asked?.(moment),
      acts: () => acts(moment, hit).map((button) => (button.addEventListener("click", () => $("#player-acts").replaceChildren(...acts(moment, hit))), button)),
      next: i + 1 < moments.length ? () => start(i + 1) : null,
      previous: i ? () => start(i - 1) : null,
      keys: {
        a: key(() => toggle(hit)),
        ...(to.judge ? { g: key(() => to.judge(moment, "good")), b: key(() => to.judge(moment, "bad")) } : {}),
        ...(to.more ? { m: () => ($("#player").close(), to.more(hit)) } : {}),
      },
    }).then(() => autoplay && $("#video").play().catch(() => {}));
  }

  list.onkeydown = (event) => {
    if (typing(event)) return;
    const on = event.target.classList.contains("picture");
    const columns = Math.max(getComputedStyle(list).gridTemplateColumns.split(" ").length, 1);
    const moment = moments[active];
    const hit = moment && hitOf(moment, to.label(moment));
    const keys = {
      ArrowRight: () => activate(active + 1),
      ArrowLeft: () => activate(active - 1),
      ArrowDown: () => activate(Math.min(active + columns, items.length - 1)),
      ArrowUp: () => (active < columns ? to.leave?.() : activate(active - columns)),
      Home: () => activate(0),
      End: () => activate(items.length - 1),
      " ": on ? () => start(active, true) : undefined,
      a: () => toggle(hit),
      ...(to.judge ? { g: () => to.judge(moment, "good"), b: () => to.judge(moment, "bad") } : {}),
      ...(to.more ? { m: () => to.more(hit) } : {}),
      ...(to.keys ?? {}),
    };
    if (keys[event.key] && hit) {
      event.preventDefault();
      keys[event.key]();
    }
  };
  return { focus: () => activate(active) };
}
