// Small plots as SVG, each with a text that says the same to who cannot see it.

import { shape, percent } from "./dom.js";

const WIDTH = 340, HEIGHT = 130, LEFT = 38, BOTTOM = 22, TOP = 8, RIGHT = 8;

// Points are {x, y, low, high, title}; x is any number, y from 0 to 1.
export function curve(points, name, xLabel) {
  const xs = points.map((point) => point.x);
  const from = Math.min(...xs), to = Math.max(...xs, from + 1);
  const bottom = Math.min(0.9, ...points.map((point) => point.low ?? point.y)) - 0.02;
  const low = Math.max(0, bottom);
  const x = (value) => LEFT + ((value - from) / (to - from)) * (WIDTH - LEFT - RIGHT);
  const y = (value) => TOP + ((1 - value) / (1 - low)) * (HEIGHT - TOP - BOTTOM);
  const path = (list) => list.map((pair, i) => `${i ? "L" : "M"}${pair[0].toFixed(1)} ${pair[1].toFixed(1)}`).join("");
  const band = points.filter((point) => point.low !== undefined);
  const last = points.at(-1);
  const svg = shape("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: "plot", role: "img", "aria-label": `${name}: ${percent(last.y)} at last` });
  for (const value of [low, (1 + low) / 2, 1]) {
    svg.append(shape("line", { class: "axis", x1: LEFT, x2: WIDTH - RIGHT, y1: y(value), y2: y(value) }));
    svg.append(text(LEFT - 4, y(value) + 4, percent(value), "end"));
  }
  if (band.length > 1) {
    svg.append(shape("path", { class: "band", d: `${path([...band.map((p) => [x(p.x), y(p.high)]), ...band.toReversed().map((p) => [x(p.x), y(p.low)])])}Z` }));
  }
  svg.append(shape("path", { class: "line", d: path(points.map((point) => [x(point.x), y(point.y)])) }));
  for (const point of points) {
    const dot = shape("circle", { class: "dot", cx: x(point.x), cy: y(point.y), r: 3 });
    dot.append(titled(point.title));
    svg.append(dot);
  }
  svg.append(text(LEFT, HEIGHT - 6, String(from), "start"), text(WIDTH - RIGHT, HEIGHT - 6, `${to} ${xLabel}`, "end"));
  return svg;
}

// The last values as a line without axes.
export function sparkline(values, name) {
  const most = Math.max(...values, 1e-9);
  const points = values.map((value, i) => `${((60 * i) / Math.max(values.length - 1, 1)).toFixed(1)},${(15 - (14 * value) / most).toFixed(1)}`);
  const svg = shape("svg", { viewBox: "0 0 60 16", class: "spark", role: "img", "aria-label": name });
  svg.append(shape("polyline", { points: points.join(" ") }));
  return svg;
}

function titled(value) {
  const title = shape("title");
  title.textContent = value;
  return title;
}

function text(x, y, value, anchor) {
  const element = shape("text", { x, y, "text-anchor": anchor });
  element.textContent = value;
  return element;
}
