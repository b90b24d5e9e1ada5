// How good the classes are: per class, what is confused with what, which labels look wrong, what to photograph next.

import { find, make, fill, interval, percent, range } from "./dom.js";
import { get } from "./api.js";
import { curve } from "./plots.js";
import * as dialog from "./dialog.js";

let say = () => {};
export const start = (report) => { say = report; };

export async function show() {
  const body = find("accuracy-body");
  fill(body, make("p", { textContent: "Measuring…", role: "status" }), make("progress", { "aria-label": "Measuring" }));
  let worth;
  try { worth = await get("/v1/worth"); } catch (error) { fill(body, make("p", { className: "error", textContent: error.message })); return; }
  const labels = Object.keys(worth.classes);
  fill(body,
    make("section", { className: "card" },
      make("p", {}, make("b", { textContent: `Accuracy: ${interval(worth.accuracy)}` })),
      make("p", { textContent: worth.forecast.text }), make("p", { textContent: `Next: ${worth.next.text}` }),
      ...worth.warnings.map((text) => make("p", { className: "warning", textContent: text }))),
    forecast(worth), classes(worth), curves(worth), suspects(worth, labels), confusion(worth, labels));
}

function forecast(worth) {
  const { now, twice, fourfold } = worth.forecast;
  if (!now) return null;
  const photos = Object.values(worth.classes).reduce((sum, row) => sum + row.photos, 0);
  const points = [[1, now], [2, twice], [4, fourfold]].map(([times, range]) => ({
    x: times * photos, y: range[1], low: range[0], high: range[2], title: `${times * photos} photos: ${percent(range[0])} to ${percent(range[2])}`,
  }));
  return make("section", { className: "card" }, make("h3", { textContent: "With more photos" }), curve(points, "Expected accuracy", "photos"));
}

// The accuracy of each class with each of the newest heads, over the photos that it was measured on; near-duplicates count once.
function curves(worth) {
  const plots = Object.entries(worth.classes).map(([label, row]) => [label, row.history.filter((each) => each.accuracy)]).filter(([, history]) => history.length > 1)
    .map(([label, history]) => make("figure", {}, make("figcaption", { textContent: label }), curve(history.map(({ head, accuracy }) => (
      { x: accuracy.n, y: accuracy.value, low: accuracy.low, high: accuracy.high, title: `head ${head}, ${accuracy.n} photos: ${interval(accuracy)}` })), label, "photos")));
  return plots.length ? make("section", { className: "card" }, make("h3", { textContent: "What each class gained from more photos" }), make("div", { className: "plots" }, ...plots)) : null;
}

function classes(worth) {
  const rows = Object.entries(worth.classes).map(([label, row]) => make("tr", {},
    make("th", { scope: "row", textContent: label }), make("td", { className: "number", textContent: row.photos }),
    make("td", { textContent: range(row.accuracy) }), make("td", { textContent: before(row.history) }), make("td", { textContent: row.taken_for ? `${row.taken_for[0]} (${row.taken_for[1]})` : "" })));
  return make("section", { className: "card" }, make("h3", { textContent: "Classes" }), make("div", { className: "scroll", tabIndex: 0, role: "region", "aria-label": "Classes" },
    make("table", {}, make("thead", {}, make("tr", {}, ...["Class", "Photos", "Accuracy", "Before", "Taken for"].map((name) => make("th", { scope: "col", textContent: name })))), make("tbody", {}, ...rows))));
}

// The accuracy with the head before the newest one.
function before(history) {
  if (history.length < 2) return "new";
  const { accuracy } = history.at(-2);
  return accuracy ? percent(accuracy.value) : "not measured";
}

function suspects(worth, labels) {
  if (!worth.suspects.length) return null;
  const photos = worth.suspects.map((suspect) => make("button", {
    className: "photo", type: "button", "aria-label": `Photo ${suspect.id}: labelled ${suspect.label}, looks like ${suspect.looks_like}`,
    onclick: () => dialog.photos(`Labelled ${suspect.label}, looks like ${suspect.looks_like}`, [suspect.id], labels, show, say, suspect.looks_like),
  }, make("img", { src: `/v1/samples/${suspect.id}/thumbnail`, alt: "" }), make("span", { textContent: `${suspect.label} → ${suspect.looks_like}?` })));
  return make("section", { className: "card" }, make("h3", { textContent: `Labels that look wrong (${photos.length})` }), make("div", { className: "grid" }, ...photos));
}

function confusion(worth, labels) {
  const { counts } = worth.confusion;
  const rows = worth.confusion.labels.map((label, i) => make("tr", {}, make("th", { scope: "row", textContent: label }), ...counts[i].map((count, j) => {
    const other = worth.confusion.labels[j];
    if (!count) return make("td", { textContent: "" });
    return make("td", {}, make("button", {
      className: i === j ? "right" : "wrong", textContent: count, "aria-label": `${count} of ${label} labelled ${other}`,
      onclick: () => cell(label, other, labels),
    }));
  })));
  const head = make("tr", {}, make("th", { scope: "col", textContent: "Class \\ label" }), ...worth.confusion.labels.map((label) => make("th", { scope: "col", textContent: label })));
  return make("section", { className: "card" }, make("h3", { textContent: "What is labelled as what" }),
    make("div", { className: "scroll", tabIndex: 0, role: "region", "aria-label": "Confusion matrix" }, make("table", { className: "confusion" }, make("thead", {}, head), make("tbody", {}, ...rows))));
}

async function cell(label, other, labels) {
  try {
    const { samples } = await get(`/v1/confusion/${encodeURIComponent(label)}/${encodeURIComponent(other)}`);
    dialog.photos(label === other ? `${label}, labelled correctly` : `${label}, labelled ${other}`, samples, labels, show, say, label);
  } catch (error) { say(error.message, "error"); }
}
