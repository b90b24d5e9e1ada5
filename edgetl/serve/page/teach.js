// The class buttons: a tap is a photo, a hold is a burst; what the check of each photo found, with keep and discard.

import { find, make, fill } from "./dom.js";
import { post, send, photosPath } from "./api.js";
import * as camera from "./camera.js";

const HOLD_MS = 350;
const BURST_MS = 250;
const LISTED = 6;
let labels = [];
let held = null;
let answered = null;
let say = () => {};

export function start(report) {
  say = report;
  find("new-class").addEventListener("submit", addClass);
  document.addEventListener("keydown", (event) => {
    if (event.repeat || event.ctrlKey || event.altKey || event.metaKey || event.target.matches("input, select, textarea") || find("dialog").open) return;
    if (event.key === "n") { find("new-label").focus(); event.preventDefault(); }
    else if (event.key >= "1" && event.key <= "9" && !find("live").hidden) press(labels[Number(event.key) - 1]);
  });
  document.addEventListener("keyup", (event) => { if (event.key >= "1" && event.key <= "9") release(); });
  window.addEventListener("blur", release);
}

const pending = new Set();

export function showClasses(classes) {
  const counts = new Map(classes.map((each) => [each.label, each]));
  for (const label of pending) if (!counts.has(label)) counts.set(label, { label, count: 0 });
  const same = labels.length === counts.size && labels.every((label) => counts.has(label));
  labels = [...counts.keys()];
  if (!same) fill(find("buttons"), ...labels.map(classButton));
  for (const button of find("buttons").children) {
    const each = counts.get(button.dataset.label);
    button.querySelector("small").textContent = `${each.count} photo${each.count === 1 ? "" : "s"}`;
  }
  showAnswer(answered);
}

export function showAnswer(label) {
  answered = label;
  for (const button of find("buttons").children) button.classList.toggle("now", button.dataset.label === label);
}

function classButton(label, index) {
  const key = index < 9 ? make("kbd", { textContent: String(index + 1), "aria-hidden": "true" }) : make("span");
  return make("button", {
    className: "class", type: "button", data: { label },
    onpointerdown: (event) => { if (event.button === 0) { event.currentTarget.setPointerCapture(event.pointerId); press(label); } },
    onpointerup: release, onpointercancel: release, oncontextmenu: (event) => event.preventDefault(),
    onclick: (event) => { if (event.detail === 0) capture(label); }, // by keyboard or screen reader: no pointer came before it
  }, key, make("b", { textContent: label }), make("small"));
}

function addClass(event) {
  event.preventDefault();
  const label = find("new-label").value.trim();
  find("new-error").textContent = "";
  if (!label) return;
  pending.add(label);
  find("new-label").value = "";
  showClasses([...find("buttons").children].map((button) => ({ label: button.dataset.label, count: parseInt(button.querySelector("small").textContent, 10) || 0 })));
  [...find("buttons").children].find((button) => button.dataset.label === label).focus();
}

function press(label) {
  if (!label || held) return;
  held = { label, last: null, timer: null };
  mark(true);
  capture(label, held);
  held.timer = setTimeout(() => burst(held), HOLD_MS);
}

function release() {
  if (!held) return;
  clearTimeout(held.timer);
  mark(false);
  held = null;
}

const mark = (on) => {
  for (const button of find("buttons").children) if (button.dataset.label === held.label) button.classList.toggle("held", on);
};

async function burst(hold) {
  while (held === hold) {
    if (camera.differs(hold.last, camera.glance())) await capture(hold.label, hold);
    await new Promise((resume) => setTimeout(resume, BURST_MS));
  }
}

async function capture(label, hold = null) {
  if (!camera.available()) { say("Choose a camera first.", "error"); return; }
  try {
    if (hold) hold.last = camera.glance();
    const picture = camera.current() === "device" ? null : await camera.jpeg(); // the server has the device's frame
    const answer = picture === null ? await send("POST", `${photosPath(label)}?from=camera`) : await post(photosPath(label), picture, "image/jpeg");
    pending.delete(label);
    for (const failed of answer.failed) say(failed.reason, "error");
    for (const photo of answer.photos) list(photo, picture);
  } catch (error) {
    say(error.message, "error");
    find("new-error").textContent = error.code && error.code.startsWith("label") ? error.message : "";
    if (error.code && error.code.startsWith("label")) { pending.delete(label); find("new-label").value = label; }
  }
}

function list(photo, picture) {
  const address = picture === null ? `/v1/samples/${photo.id}/thumbnail` : URL.createObjectURL(picture);
  const text = photo.status === "known" ? `${photo.label}: this photo is there already`
    : photo.status === "relabelled" ? `moved from ${photo.previous} to ${photo.label}` : photo.label;
  const row = make("li", {},
    make("img", { src: address, alt: "" }),
    make("div", {}, make("span", { textContent: text }), ...photo.findings.map((finding) => make("p", { className: "warning", textContent: finding.message }))));
  if (photo.status === "added") {
    const keep = photo.findings.length ? make("button", { textContent: "Keep", onclick: () => keep.remove() }) : null;
    const discard = make("button", { textContent: "Discard", onclick: () => remove(photo.id, row, discard) });
    row.append(...[keep, discard].filter(Boolean));
  }
  find("captures").prepend(row);
  for (const old of [...find("captures").children].slice(LISTED)) { URL.revokeObjectURL(old.querySelector("img").src); old.remove(); }
}

async function remove(id, row, button) {
  button.disabled = true;
  try { await send("DELETE", `/v1/samples/${id}`); row.remove(); } catch (error) { say(error.message, "error"); button.disabled = false; }
}
