// The page's messages: the state of the server, the work in the background, and the user's latest action.
import { byId } from "./elements.js";

const STATES = {
  waiting: ["waiting for the flow", "Points can be placed; they are answered as soon as the flow is measured"],
  chained: ["answers: flow", "The flow alone answers; better answers come with the fit"],
  fused: ["answers: fit", "The fitted field and the flow answer together"],
  given: ["tracks", "These tracks are shown as they are; to place points: clip.show()"],
  ended: ["the server has ended", "Start omnitrack view again; what you place now is kept here until then"],
};
const PHASES = { failed: "failed", busy: "in use", kept: "kept", stopped: "stopped" };

/** Show a line at the foot of the page; screen readers read it. */
export function say(text, bad = false) {
  byId("message").textContent = byId("message").title = text;
  byId("message").classList.toggle("bad", bad);
}

/** Show what went wrong, and what to do about it. */
export const complain = (error) => say(error.hint ? `${error.message}: ${error.hint}` : error.message, true);

/** Update the badge, the progress bar and the text beside it. */
export function showState(state, snapshot) {
  const [text, title] = STATES[state] ?? ["damaged", snapshot.damage];
  Object.assign(byId("state"), { textContent: text, title });
  byId("state").dataset.state = state;
  const work = snapshot?.work ?? { phase: "idle" }, working = work.phase === "working" && work.task;
  byId("bar").hidden = !(working && work.total);
  if (working && work.total) byId("bar").value = work.done / work.total;
  const values = Object.entries(work.values ?? {}).map(([name, value]) => `${name} ${typeof value === "number" ? value.toPrecision(3) : value}`);
  const count = work.total ? `${work.done}/${work.total} ${work.unit}` : "";
  const said = [PHASES[work.phase], work.text, work.hint, ...(snapshot?.damage ? [snapshot.damage] : [])].filter(Boolean).join(": ");
  byId("task").textContent = working ? [`${work.task} ${count}`, ...values.slice(0, 1)].join(" · ") : said;
  byId("task").title = [byId("task").textContent, ...values.slice(1), ...(snapshot?.messages ?? [])].join("\n");
}
