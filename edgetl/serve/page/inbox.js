// Frames that the camera was unsure of, grouped by likeness: one tap labels a group.

import { find, make, fill } from "./dom.js";
import { get, post } from "./api.js";

const NONE = "none"; // a class that is answered with "unknown"
const chosen = new Set();
let labels = [];
let say = () => {};

export const start = (report) => { say = report; };
export const setLabels = (names) => { labels = names; };

export async function show() {
  const { items, groups, next } = await get("/v1/inbox");
  for (const id of chosen) if (!(id in items)) chosen.delete(id);
  const blocks = groups.map((group, index) => block(group.label ? `Like ${group.label}` : `Group ${index + 1}`, group.ids, items));
  if (next.length) blocks.unshift(block("Label these first: they teach most", next, items));
  fill(find("inbox-groups"), ...(blocks.length ? blocks : [make("p", { textContent: "The inbox is empty." })]));
  actions();
}

function block(title, ids, items) {
  const photos = ids.map((id) => make("button", {
    className: "photo", type: "button", "aria-pressed": String(chosen.has(String(id))), data: { id }, onclick: toggle,
    "aria-label": `Frame ${id}, ${items[id].label || "unknown"}`,
  }, make("img", { src: `/v1/inbox/${id}/photo`, alt: "", loading: "lazy" }), make("span", { textContent: items[id].label || "unknown" })));
  return make("section", { className: "card" },
    make("h3", { textContent: `${title} (${ids.length})` }),
    make("button", { textContent: "Choose all", onclick: () => { ids.forEach((id) => chosen.add(String(id))); mark(); } }),
    make("div", { className: "grid" }, ...photos));
}

function toggle(event) {
  const { id } = event.currentTarget.dataset;
  if (chosen.has(id)) chosen.delete(id); else chosen.add(id);
  mark();
}

function mark() {
  for (const button of find("inbox-groups").querySelectorAll(".photo")) button.setAttribute("aria-pressed", String(chosen.has(button.dataset.id)));
  actions();
}

function actions() {
  const input = make("input", { placeholder: "New class", maxLength: 100, "aria-label": "New class" });
  const off = chosen.size === 0;
  fill(find("inbox-actions"),
    make("span", { textContent: `${chosen.size} chosen:` }),
    ...labels.map((label) => make("button", { textContent: label, disabled: off, onclick: () => label_(label) })),
    input,
    make("button", { textContent: "Add class", disabled: off, onclick: () => { if (input.value.trim()) label_(input.value.trim()); } }),
    make("button", { textContent: "None of these", disabled: off, onclick: () => label_(NONE) }),
    make("button", { textContent: "Delete", disabled: off, onclick: () => act("/v1/inbox/delete", {}) }));
}

const label_ = (label) => act("/v1/inbox/label", { label });

async function act(path, values) {
  try {
    const answer = await post(path, { ids: [...chosen].map(Number), ...values });
    for (const failed of answer.failed || []) say(failed.reason, "error");
    chosen.clear();
    await show();
  } catch (error) {
    say(error.message, "error");
    if (error.code === "frame-missing") await show().catch(() => {}); // another page has labelled it, or it made room
  }
}
