// Questions that stand, what they were answered, and searches that are kept.
import { $, ask, el, get, shown, told, words } from "./base.js";
import { show } from "./hits.js";

const none = (list, name) => list.replaceChildren(el("li", { className: "soft" }, words(name)));

async function alerts() {
  const { standing, alerts: fired } = await get("/v1/alerts");
  if (!fired.length) none($("#alerts"), "no_alerts");
  else {
    show($("#alerts"), fired, {
      label: (one) => words("alert_name", { name: one.alert, query: one.query }),
      asked: (one) => ({ query: one.query }),
      likely: (one) => ({ text: shown(one.alert), level: "sure" }),
      remarks: (one) => [one.query, words("alert_score", { score: one.score.toFixed(2), threshold: one.threshold.toFixed(2) })].map(shown),
    });
  }
  if (!standing.length) none($("#standing"), "no_standing");
  else {
    $("#standing").replaceChildren(...standing.map(({ name, query, a_day: rate, since, until, videos }) =>
      el("li", {}, el("div", { className: "about" }, el("strong", {}, shown(name)), el("span", {}, shown(query)),
        el("span", { className: "soft" }, words("standing_about", {
          rate, hours: since === null ? "" : words("standing_hours", { since, until }), videos: videos.length ? words("standing_videos", { videos: videos.map(shown).join(", ") }) : "",
        }))))));
  }
}

async function saved() {
  const { saved: some } = await get("/v1/saved");
  if (!some.length) return none($("#saved"), "no_saved");
  $("#saved").replaceChildren(...some.map(({ name, query, footage, search, saved_at: at, problem }) =>
    el("li", {}, el("div", { className: "about" }, el("strong", {}, name), el("span", {}, shown(query ?? problem ?? "")),
      footage ? el("span", { className: "soft" }, shown(footage)) : null,
      el("span", { className: "soft numbers" }, at.slice(0, 10)),
      search ? null : el("span", { className: "soft" }, words("cannot_run"))),
      search ? el("a", { className: "button", href: `/#${encodeURIComponent(JSON.stringify(search))}` }, words("run")) : null,
      el("button", { type: "button", className: "quiet", "aria-label": `${words("forget")}: ${name}`, onclick: () => forget(name) }, words("forget")))));
  return undefined;
}

async function forget(name) {
  if (!confirm(words("forget_sure", { name }))) return;
  await told(() => ask(`/v1/saved/${encodeURIComponent(name)}`, { method: "DELETE" }));
  await told(saved);
}

told(alerts);
told(saved);
