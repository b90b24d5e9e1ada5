// What goes in and out as a file.

import { find, make, fill } from "./dom.js";
import { get, post } from "./api.js";

const DOWNLOADS = [
  ["store", "Store", "All photos' embeddings and every head, for another device or a backup."],
  ["head", "Active head", "For another store of the same bundle: edgetl head import."],
  ["classifier", "Classifier", "An ordinary model file with its labels, which needs no edgetl."],
  ["frigate", "For Frigate", "The folder that Frigate's custom classification reads."],
];
const UPLOADS = [
  ["/v1/upload", "Photos in a zip", "Folders named by class, or a class from Teachable Machine.", ".zip,application/zip"],
  ["/v1/merge", "Another device's store", "Its photos are added to these.", ".db"],
];

export function show(say) {
  fill(find("files-body"),
    make("section", { className: "card" }, make("h3", { textContent: "Download" }), ...DOWNLOADS.map((row) => download(row, say))),
    another(say),
    make("section", { className: "card" }, make("h3", { textContent: "Upload" }), ...UPLOADS.map((row) => upload(row, say)), make("div", { id: "upload-progress", role: "status" })));
}

function another(say) {
  const text = make("p", { role: "status" });
  const button = make("button", { textContent: "Show a code", onclick: async () => {
    try { text.textContent = `Open ${location.origin} there and enter ${(await get("/v1/code")).code}. It works once.`; } catch (error) { say(error.message, "error"); }
  } });
  return make("section", { className: "card" }, make("h3", { textContent: "Another device" }), make("div", { className: "row" }, button, text));
}

export function progress({ doing, done, total }) {
  const box = find("upload-progress");
  if (!box) return;
  const bar = make("progress", { "aria-label": doing, max: total || 1 });
  if (total) bar.value = done;
  fill(box, make("p", { textContent: total ? `${doing}: ${done} of ${total}` : `${doing}: ${done}` }), bar);
}

function download([kind, title, text], say) {
  const button = make("button", { textContent: title, onclick: async () => {
    button.disabled = true;
    say(`Preparing: ${title}…`);
    try {
      const response = await fetch(`/v1/download/${kind}`);
      if (!response.ok) throw new Error((await response.json()).error.message);
      const name = /filename="([^"]+)"/.exec(response.headers.get("content-disposition") || "");
      const link = make("a", { href: URL.createObjectURL(await response.blob()), download: name ? name[1] : kind });
      link.click();
      URL.revokeObjectURL(link.href);
      say(`Downloaded: ${link.download}.`);
    } catch (error) { say(error.message, "error"); }
    button.disabled = false;
  } });
  return make("div", { className: "row" }, button, make("p", { className: "soft", textContent: text }));
}

function upload([path, title, text, accept], say) {
  const input = make("input", { type: "file", accept, id: `file${path.replaceAll("/", "-")}`, onchange: async () => {
    const [file] = input.files;
    if (!file) return;
    input.disabled = true;
    say(`Uploading ${file.name}…`);
    try {
      const kind = file.name.endsWith(".zip") ? "application/zip" : "application/octet-stream";
      const answer = await post(`${path}?name=${encodeURIComponent(file.name)}`, file, kind);
      const failed = answer.failed && answer.failed.length ? `, ${answer.failed.length} not usable: ${answer.failed[0].reason}` : "";
      say(`${answer.added} photos added from ${file.name}${failed}.`, failed ? "warning" : "");
    } catch (error) { say(error.message, "error"); }
    fill(find("upload-progress"));
    input.disabled = false;
    input.value = "";
  } });
  return make("div", { className: "row" }, make("label", { for: input.id, textContent: title }), input, make("p", { className: "soft", textContent: text }));
}
