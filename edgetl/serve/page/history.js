// Every training, its accuracy, and the way back to it.

import { find, make, fill, interval, range } from "./dom.js";
import { post } from "./api.js";
import { curve } from "./plots.js";

export function show(state, say) {
  const act = (path) => async (event) => {
    event.currentTarget.disabled = true;
    try { await post(path); } catch (error) { say(error.message, "error"); }
  };
  const measured = state.heads.filter((head) => head.accuracy).toReversed();
  const points = measured.map((head) => ({ x: head.id, y: head.accuracy.value, low: head.accuracy.low, high: head.accuracy.high, title: `head ${head.id}: ${interval(head.accuracy)}` }));
  const rows = state.heads.map((head) => make("tr", {},
    make("th", { scope: "row", textContent: `Head ${head.id}` }), make("td", { textContent: new Date(1000 * head.created).toLocaleString() }),
    make("td", { className: "number", textContent: head.samples }), make("td", { textContent: range(head.accuracy) }),
    make("td", {}, head.active ? make("span", { className: "good", textContent: "active" })
      : make("button", { textContent: "Activate", "aria-label": `Activate head ${head.id}`, onclick: act(`/v1/heads/${head.id}/activate`) }),
      head.not_activated_because ? make("p", { className: "warning", textContent: head.not_activated_because }) : null)));
  fill(find("history-body"),
    make("div", { className: "row" }, make("button", { textContent: "Train now", onclick: act("/v1/train") }), make("button", { textContent: "Roll back", onclick: act("/v1/rollback"), disabled: state.heads.length < 2 })),
    points.length > 1 ? make("section", { className: "card" }, make("h3", { textContent: "Accuracy of each training" }), curve(points, "Accuracy", "head")) : null,
    rows.length ? make("div", { className: "scroll card", tabIndex: 0, role: "region", "aria-label": "Trainings" }, make("table", {},
      make("thead", {}, make("tr", {}, ...["Head", "When", "Photos", "Accuracy", ""].map((name) => make("th", { scope: "col", textContent: name })))), make("tbody", {}, ...rows)))
      : make("p", { textContent: "No training yet." }));
}
