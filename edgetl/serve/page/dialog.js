// One photo, or several, large: what it is, what it was taken for, and what can be done with it.

import { find, make, fill } from "./dom.js";
import { get, post, send } from "./api.js";

export function photos(title, ids, labels, changed, say, chosen = "") {
  const rows = ids.slice(0, 60).map((id) => row(id, labels, changed, say, chosen));
  const more = ids.length > 60 ? make("p", { textContent: `and ${ids.length - 60} more` }) : null;
  open(title, ids.length ? null : make("p", { textContent: "No photo." }), ...rows, more);
}

export function open(title, ...children) {
  const dialog = find("dialog");
  fill(dialog, make("h2", { id: "dialog-title", textContent: title }), ...children,
    make("form", { method: "dialog", className: "row" }, make("button", { className: "main", textContent: "Close" })));
  if (!dialog.open) dialog.showModal();
}

// Why a photo gets its label, and the stored photos most like it.
export function reasons(explanation) {
  const neighbours = explanation.neighbours.map((each) => make("div", { className: "photo" },
    make("img", { src: `/v1/samples/${each.id}/thumbnail`, alt: `${each.label}, similarity ${each.similarity.toFixed(2)}` }),
    make("span", { textContent: `${each.label} ${each.similarity.toFixed(2)}` })));
  return [...explanation.reasons.map((text) => make("p", { textContent: text })), make("div", { className: "grid" }, ...neighbours)];
}

function row(id, labels, changed, say, chosen) {
  const select = make("select", { "aria-label": "Class" }, ...labels.map((label) => make("option", { value: label, textContent: label, selected: label === chosen })));
  const why = make("div", { className: "why", role: "status" });
  const element = make("div", { className: "row card" },
    make("img", { src: `/v1/samples/${id}/thumbnail`, alt: `Photo ${id}`, width: 96, height: 96, loading: "lazy" }), select,
    make("button", { textContent: "Move", onclick: () => act(() => post(`/v1/samples/${id}/label`, { label: select.value })) }),
    make("button", { textContent: "Delete", onclick: () => act(() => send("DELETE", `/v1/samples/${id}`)) }),
    make("button", { textContent: "Why?", onclick: async () => {
      try { fill(why, ...reasons(await get(`/v1/samples/${id}/explanation`))); } catch (error) { fill(why, make("p", { className: "error", textContent: error.message })); }
    } }), why);
  async function act(call) {
    try { await call(); element.remove(); changed(); } catch (error) { say(error.message, "error"); }
  }
  return element;
}
