// What goes in and out as a file.

import { find, make, fill } from "./dom.js";
import { get, post, photosPath, upload as send } from "./api.js";

const DOWNLOADS = [
  ["store", "Store", "All photos' embeddings and every head, for another device or a backup."],
  ["head", "Active head", "For another store of the same bundle: edgetl head import."],
  ["classifier", "Classifier", "An ordinary model file with its labels, which needs no edgetl."],
  ["frigate", "For Frigate", "The folder that Frigate's custom classification reads."],
];
const UPLOADS = [
  ["/v1/upload", "Photos in a zip", "Folders named by class, or a class from Teachable Machine.", ".zip,application/zip"],
  ["/v1/merge", "Another device's store", "Its photos are added to these.", ".db"],
  ["/v1/bundle", "A newer bundle", "Of the same model: all photos and heads stay.", ".edgetl"],
];
const LARGEST = 24 * 2 ** 20; // bytes of a photo
const BATCH = { photos: 16, bytes: 24 * 2 ** 20 }; // of one request

export function show(say) {
  fill(find("files-body"),
    make("section", { className: "card" }, make("h3", { textContent: "Download" }), ...DOWNLOADS.map((row) => download(row, say))),
    another(say),
    make("section", { className: "card" }, make("h3", { textContent: "Upload" }), folder(say), ...UPLOADS.map((row) => upload(row, say)), make("div", { id: "file-progress", role: "status" })));
}

function another(say) {
  const text = make("p", { role: "status" });
  const button = make("button", { textContent: "Show a code", onclick: async () => {
    try { text.textContent = `Open ${location.origin} there and enter ${(await get("/v1/code")).code}. It works once.`; } catch (error) { say(error.message, "error"); }
  } });
  return make("section", { className: "card" }, make("h3", { textContent: "Another device" }), make("div", { className: "row" }, button, text));
}

export function progress({ doing, done, total }) {
  const box = find("file-progress");
  if (!box) return;
  const bar = make("progress", { "aria-label": doing, max: total || 1 });
  if (total) bar.value = done;
  fill(box, make("p", { textContent: total ? `${doing}: ${done} of ${total}` : `${doing}: ${done}` }), bar);
}

function download([kind, title, text], say) {
  const button = make("button", { textContent: title, onclick: async () => {
    button.disabled = true;
    say(`Preparing: ${title}…`);
    fill(find("file-progress"), make("progress", { "aria-label": `Preparing: ${title}` }));
    try {
      const response = await fetch(`/v1/download/${kind}`);
      if (!response.ok) throw new Error((await response.json()).error.message);
      const name = /filename="([^"]+)"/.exec(response.headers.get("content-disposition") || "");
      const link = make("a", { href: URL.createObjectURL(await response.blob()), download: name ? name[1] : kind });
      link.click();
      URL.revokeObjectURL(link.href);
      say(`Downloaded: ${link.download}.`);
    } catch (error) { say(error.message, "error"); }
    fill(find("file-progress"));
    button.disabled = false;
  } });
  return make("div", { className: "row" }, button, make("p", { className: "soft", textContent: text }));
}

function upload([path, title, text, accept], say) {
  const input = make("input", { type: "file", accept, id: `file${path.replaceAll("/", "-")}`, onchange: async () => {
    const [file] = input.files;
    if (!file) return;
    input.disabled = true;
    const doing = `Uploading ${file.name}`;
    say(`${doing}…`);
    try {
      const kind = file.name.endsWith(".zip") ? "application/zip" : "application/octet-stream";
      const answer = await send(`${path}?name=${encodeURIComponent(file.name)}`, file, kind, (share) => progress({ doing, done: Math.round(100 * share), total: 100 }));
      if (path === "/v1/bundle") say(`Now in use: ${file.name}.`);
      else report(answer.added, answer.failed || [], file.name, say);
    } catch (error) { say(error.message, "error"); }
    fill(find("file-progress"));
    input.disabled = false;
    input.value = "";
  } });
  return field(input, title, text);
}

function report(added, failed, name, say) {
  const problem = failed.length ? `, ${failed.length} not usable: ${failed[0].reason}` : "";
  say(`${added} photo${added === 1 ? "" : "s"} added from ${name}${problem}.`, problem ? "warning" : "");
}

const field = (input, title, text) => make("div", { className: "row" }, make("label", { for: input.id, textContent: title }), input, make("p", { className: "soft", textContent: text }));

// A folder with a folder per class, or of one class; a photo that is there already is not added again, so it may be sent twice.
function folder(say) {
  const input = make("input", { type: "file", webkitdirectory: true, multiple: true, id: "file-folder", onchange: async () => {
    const images = [...input.files].filter((file) => file.type.startsWith("image/") && !/(^|\/)\./.test(file.webkitRelativePath));
    if (!images.length) { say("The folder holds no photo.", "error"); return; }
    const name = images[0].webkitRelativePath.split("/")[0];
    const photos = images.filter((file) => file.size <= LARGEST);
    const failed = images.filter((file) => file.size > LARGEST).map((file) => ({ reason: `${file.name} is larger than ${LARGEST / 2 ** 20} MiB` }));
    let added = 0, done = 0;
    input.disabled = true;
    try {
      for (const [label, files] of byClass(photos)) {
        for (const batch of batches(files)) {
          const form = new FormData();
          for (const file of batch) form.append("photo", file, file.name);
          try {
            const answer = await post(photosPath(label), form);
            added += answer.photos.filter((photo) => photo.status === "added").length;
            failed.push(...answer.failed);
          } catch (error) { // a folder whose name is not a label: the other ones follow
            if (!error.code?.startsWith("label")) throw error;
            failed.push(...batch.map(() => ({ reason: error.message })));
          }
          progress({ doing: `Adding the photos of ${name}`, done: done += batch.length, total: photos.length });
        }
      }
      report(added, failed, name, say);
    } catch (error) { say(error.message, "error"); }
    fill(find("file-progress"));
    input.disabled = false;
    input.value = "";
  } });
  return field(input, "A folder of photos", "Folders named by class.");
}

function byClass(photos) {
  const classes = new Map();
  for (const file of photos) {
    const label = file.webkitRelativePath.split("/").at(-2);
    classes.set(label, [...(classes.get(label) || []), file]);
  }
  return classes;
}

function* batches(files) {
  let batch = [], bytes = 0;
  for (const file of files) {
    if (batch.length === BATCH.photos || (batch.length && bytes + file.size > BATCH.bytes)) { yield batch; batch = []; bytes = 0; }
    batch.push(file);
    bytes += file.size;
  }
  if (batch.length) yield batch;
}
