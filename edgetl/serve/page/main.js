// Starts the page: session, views, events, the live answer, undo.

import { find, make, fill, percent, interval } from "./dom.js";
import * as api from "./api.js";
import * as camera from "./camera.js";
import * as teach from "./teach.js";
import * as inbox from "./inbox.js";
import * as accuracy from "./accuracy.js";
import * as history from "./history.js";
import * as files from "./files.js";
import { reasons } from "./dialog.js";
import { sparkline } from "./plots.js";

const REASON_AFTER = { "not-trained": "Add photos of two classes." };
const latencies = [];
let state = null;
let view = "live";

function say(text, kind = "") {
  find("status").textContent = text;
  find("status").className = kind;
}

function showAnswer(answer) {
  const label = find("answer-label");
  const reject = answer.code === "reject-class";
  label.textContent = answer.code === "not-trained" ? "Not trained yet" : answer.label ?? (reject ? `unknown (${answer.top[0][0]})` : "unknown");
  label.classList.toggle("unknown", answer.label === null);
  const others = answer.top.slice(answer.label === null ? 0 : 1, 3).map(([name, value]) => `${name} ${percent(value)}`);
  find("answer-score").textContent = [answer.label === null ? "" : percent(answer.probability), others.join(", ")].filter(Boolean).join(" · ");
  find("answer-reason").textContent = REASON_AFTER[answer.code] ?? answer.reason ?? "";
  if (answer.latency_ms === null) { latencies.length = 0; fill(find("speed")); } else {
    latencies.push(answer.latency_ms);
    if (latencies.length > 60) latencies.shift();
    fill(find("speed"), sparkline(latencies, `Latency of the last ${latencies.length} frames`), `${answer.fps.toFixed(0)} fps · ${Math.round(answer.latency_ms)} ms`);
  }
  teach.showAnswer(answer.label);
}

function showState(next) {
  state = next;
  find("store").textContent = `${state.store}: ${state.photos} photos, ${state.classes.length} classes`;
  find("inbox-count").textContent = state.inbox ? `(${state.inbox})` : "";
  find("undo").disabled = state.undo === null;
  find("undo").textContent = state.undo === null ? "Undo" : `Undo: ${state.undo}`;
  teach.showClasses(state.classes);
  inbox.setLabels(state.classes.map((each) => each.label));
  camera.offer(state);
  showTraining();
  if (view === "history") history.show(state, say);
}

function showTraining() {
  const { training, head } = state;
  const lines = [];
  if (training.running || training.waiting) lines.push(make("p", { textContent: "Training…" }), make("progress", { "aria-label": "Training" }));
  else if (training.error) lines.push(make("p", { className: "warning", textContent: training.error.message }));
  else if (head) lines.push(make("p", { textContent: `Head ${head.id}: ${interval(head.accuracy)}` }));
  if (training.change && !training.running) lines.push(make("p", { className: "soft", textContent: training.change }));
  if (training.not_activated_because) lines.push(make("p", { className: "warning", textContent: training.not_activated_because }));
  fill(find("training"), ...lines);
  find("next").textContent = state.next ? `Next: ${state.next}` : "";
}

async function showView(name) {
  view = name;
  for (const main of document.querySelectorAll("main.view")) main.hidden = main.id !== name;
  for (const button of document.querySelectorAll("[data-view]")) button.setAttribute("aria-pressed", String(button.dataset.view === name));
  try {
    if (name === "inbox") await inbox.show();
    if (name === "accuracy") await accuracy.show();
    if (name === "history") history.show(state, say);
    if (name === "files") files.show(say);
  } catch (error) { say(error.message, "error"); }
}

async function undo() {
  find("undo").disabled = true;
  try {
    const { undone } = await api.post("/v1/undo");
    say(`Undone: ${undone}.`);
    if (view === "inbox" || view === "accuracy") await showView(view);
  } catch (error) { say(error.message, "error"); }
}

async function why() {
  try {
    const explanation = await api.post("/v1/explain", await camera.jpeg(), "image/jpeg");
    fill(find("reasons"), ...reasons(explanation));
  } catch (error) { say(error.message, "error"); }
}

function door() {
  for (const id of ["views", "bar", "live", "inbox", "accuracy", "history", "files"]) find(id).hidden = true;
  find("door").hidden = false;
  find("code").focus();
}

async function enter() {
  find("door").hidden = true;
  find("views").hidden = find("bar").hidden = false;
  showState(await api.get("/v1/state"));
  showView("live");
  api.events({
    state: showState,
    answer: (answer) => { if (camera.current() === "device") showAnswer(answer); },
    warning: (warning) => say(warning.message, "warning"),
    progress: files.progress,
    camera: (event) => say(event.message, ["connected", "normal"].includes(event.code) ? "" : "warning"),
  });
}

async function start() {
  api.on("lost", (lost) => { find("connection").textContent = lost ? "Reconnecting…" : ""; });
  api.on("closed", door);
  camera.answerTo(showAnswer);
  teach.start(say);
  inbox.start(say);
  accuracy.start(say);
  for (const button of document.querySelectorAll("[data-view]")) button.addEventListener("click", () => showView(button.dataset.view));
  find("undo").addEventListener("click", undo);
  find("why").addEventListener("click", why);
  find("source").addEventListener("change", async (event) => {
    try { await camera.choose(event.target.value); say(""); } catch (error) { camera.choose("none", false); say(error.message, "error"); }
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "z" && !event.target.matches("input, select, textarea") && !find("undo").disabled) undo();
  });
  find("code-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    try { await api.openSession(find("code").value); find("code-error").textContent = ""; await enter(); } catch (error) { find("code-error").textContent = error.message; }
  });
  const code = new URLSearchParams(location.hash.slice(1)).get("code");
  window.history.replaceState(null, "", location.pathname);
  try {
    await api.resume().catch((error) => { if (!code || error.status !== 401) throw error; return api.openSession(code); });
    await enter();
  } catch (error) {
    door();
    if (error.status !== 401) find("code-error").textContent = error.message;
  }
}

start();
