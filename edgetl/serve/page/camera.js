// Where pictures come from: a camera of the device (the server shows and classifies it) or this browser's own.

import { find, make, fill } from "./dom.js";
import { post } from "./api.js";

const DIFFERENT = 6; // gray levels, mean over a small picture: below it two frames show the same
const QUALITY = 0.9;
let kind = "none";
let shown = null;
let serverCameras = 0;
let choice = 0; // counts them: an earlier one may still wait for the server, or for leave to use the camera
const canvas = make("canvas");
const small = make("canvas", { width: 24, height: 18 });

export let onAnswer = () => {};
export const answerTo = (call) => { onAnswer = call; };
export const current = () => kind;

export async function offer(state) {
  if (serverCameras === state.cameras && find("source").options.length) {
    if (kind === "device" && state.camera === null) choose("none", false);
    else if (kind === "device") find("source").value = `device ${state.camera.number}`; // another page may have switched it
    return;
  }
  serverCameras = state.cameras;
  const options = [make("option", { value: "none", textContent: "Off" })];
  for (let number = 0; number < state.cameras; number += 1) {
    options.push(make("option", { value: `device ${number}`, textContent: state.cameras === 1 ? "The device's camera" : `Camera ${number + 1}` }));
  }
  options.push(make("option", { value: "browser", textContent: "This browser's camera" }));
  fill(find("source"), ...options);
  if (state.camera) choose(`device ${state.camera.number}`, false);
}

export async function choose(value, tellServer = true) {
  const name = value.split(" ")[0];
  const own = choice += 1;
  stop();
  find("source").value = value;
  kind = name;
  if (name === "device") {
    if (tellServer) await post("/v1/camera", { number: Number(value.split(" ")[1]) });
    if (own !== choice) return;
    const image = find("stream");
    image.src = `/v1/stream?${Date.now()}`;
    image.onerror = () => setTimeout(() => { if (kind === "device") image.src = `/v1/stream?${Date.now()}`; }, 1000);
    show(image);
  } else if (name === "browser") {
    if (!navigator.mediaDevices) throw new Error("The browser gives its camera only over HTTPS. Start the server with --tls.");
    const constraints = { video: { facingMode: "environment", width: { ideal: 640 }, height: { ideal: 480 } } };
    const video = find("video");
    const stream = await navigator.mediaDevices.getUserMedia(constraints);
    if (own !== choice) { for (const track of stream.getTracks()) track.stop(); return; }
    video.srcObject = stream;
    await video.play();
    show(video);
    classifyAll(video);
  }
}

function stop() {
  const video = find("video");
  if (video.srcObject) for (const track of video.srcObject.getTracks()) track.stop();
  video.srcObject = null;
  find("stream").onerror = null;
  find("stream").removeAttribute("src");
  show(null);
}

function show(element) {
  shown = element;
  find("stream").hidden = element !== find("stream");
  find("video").hidden = element !== find("video");
  find("no-camera").hidden = element !== null;
}

async function classifyAll(video) {
  const times = [];
  while (kind === "browser" && shown === video) {
    const started = performance.now();
    try {
      const { predictions } = await post("/v1/classify", await jpeg(), "image/jpeg");
      times.push(performance.now());
      if (times.length > 20) times.shift();
      const fps = times.length > 1 ? (1000 * (times.length - 1)) / (times.at(-1) - times[0]) : 0;
      onAnswer({ ...predictions[0], fps, latency_ms: performance.now() - started });
    } catch (error) {
      onAnswer({ label: null, top: [], code: error.code, reason: error.code === "not-trained" ? "" : error.message, fps: 0, latency_ms: null });
      await new Promise((resume) => setTimeout(resume, 500));
    }
    await new Promise(requestAnimationFrame);
  }
}

// The picture that is shown now, as a JPEG.
export async function jpeg() {
  const width = shown.videoWidth || shown.naturalWidth;
  const height = shown.videoHeight || shown.naturalHeight;
  if (!width) throw new Error("The camera shows nothing yet.");
  canvas.width = width;
  canvas.height = height;
  canvas.getContext("2d").drawImage(shown, 0, 0);
  return new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", QUALITY));
}

// Gray levels of the picture that is shown now, to tell whether two frames differ.
export function glance() {
  const context = small.getContext("2d", { willReadFrequently: true });
  try { context.drawImage(shown, 0, 0, small.width, small.height); } catch { return null; } // the stream is just connecting again
  const { data } = context.getImageData(0, 0, small.width, small.height);
  const gray = new Float32Array(data.length / 4);
  for (let i = 0; i < gray.length; i += 1) gray[i] = 0.299 * data[4 * i] + 0.587 * data[4 * i + 1] + 0.114 * data[4 * i + 2];
  return gray;
}

export function differs(one, other) {
  if (!one || !other) return true;
  let sum = 0;
  for (let i = 0; i < one.length; i += 1) sum += Math.abs(one[i] - other[i]);
  return sum / one.length > DIFFERENT;
}

export const available = () => shown !== null;

