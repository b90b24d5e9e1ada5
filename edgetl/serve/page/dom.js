// Makes elements. Text is always text: no label and no file name ever becomes HTML.

export const find = (id) => document.getElementById(id);

export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "data") Object.assign(element.dataset, value);
    else if (name.startsWith("aria-") || name === "role" || name === "for" || name === "scope") element.setAttribute(name, value);
    else element[name] = value;
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

export function fill(element, ...children) {
  element.replaceChildren(...children.filter((child) => child !== null && child !== undefined));
}

export function shape(tag, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

export const percent = (value) => `${(100 * value).toFixed(value > 0.995 && value < 1 ? 1 : 0)} %`;

export function range(accuracy) {
  if (!accuracy) return "not measured";
  const [low, high] = [accuracy.low, accuracy.high].map((value) => Math.round(100 * value));
  return `${percent(accuracy.value)} (${low} to ${high})`;
}

export function interval(accuracy) {
  if (!accuracy) return "not measured";
  return `${percent(accuracy.value)} (${percent(accuracy.low)} to ${percent(accuracy.high)}, n=${accuracy.n})`;
}
