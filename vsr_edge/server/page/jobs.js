// What is indexed over the network, and how far it is.
import { $, ask, el, get, notice, post, shown, told, words } from "./base.js";
import "./basket.js";

const LATER = 1500;
const LATEST = 10000;

function row({ id, state, paths, made_at: made, progress, result, error }) {
  const over = !["queued", "running"].includes(state);
  const told = result ? words("job_result", { indexed: result.indexed, skipped: result.skipped + result.copied + result.moved, failed: result.failed.length })
    : error ? shown(error.message)
    : progress ? words("job_progress", { done: progress.done_files, all: progress.total_files, frames: progress.frames }) : "";
  const name = paths.map(shown).join(", ");
  return el("li", {},
    el("span", { className: `state-of ${state}` }, words(`job_${state}`)),
    el("div", { className: "about" }, el("strong", {}, name), el("span", { className: "soft numbers" }, `${made.slice(0, 16).replace("T", " ")} UTC${told ? ` · ${told}` : ""}`),
      progress && !over ? el("progress", { max: Math.max(progress.total_bytes, 1), value: progress.done_bytes, "aria-label": name }) : null,
      ...(result?.failed ?? []).slice(0, 5).map((one) => el("span", { className: "soft" }, `${shown(one.video)}: ${shown(one.reason)}`))),
    over ? null : el("button", { type: "button", "aria-label": `${words("job_cancel")}: ${name}`, onclick: () => told_(() => ask(`/v1/jobs/${id}`, { method: "DELETE" })) }, words("job_cancel")));
}

const told_ = (work) => told(work).then(follow);
let shownAs = "";

async function show() {
  const { jobs } = await get("/v1/jobs");
  const as = JSON.stringify(jobs);
  if (as !== shownAs) {
    shownAs = as;
    $("#jobs").replaceChildren(...(jobs.length ? jobs.map(row) : [el("li", { className: "soft" }, words("no_jobs"))]));
  }
  return jobs.some((job) => ["queued", "running"].includes(job.state));
}

let timer = 0;
// What was said of something else stays.
async function follow() {
  clearTimeout(timer);
  const busy = await show().catch((error) => notice(error.message));
  clearTimeout(timer);
  timer = setTimeout(follow, busy ? LATER : LATEST);
}

$("#index").addEventListener("submit", (event) => {
  event.preventDefault();
  told(async () => {
    await post("/v1/index", { paths: [$("#path").value.trim()] });
    $("#path").value = "";
    notice(words("job_added"));
    await follow();
  });
});
follow();
