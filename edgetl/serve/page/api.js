// Talks to the server. A photo that the network swallowed is sent again until the server has answered: the same photo twice changes nothing.

let csrf = "";
const listeners = { lost: [], closed: [] };

export class ApiError extends Error {
  constructor(status, error) {
    super(error.message);
    this.status = status;
    this.code = error.code;
  }
}

export const on = (name, call) => listeners[name].push(call);
const tell = (name, value) => listeners[name].forEach((call) => call(value));

async function answered(response) {
  const type = response.headers.get("content-type") || "";
  const body = type.startsWith("application/json") ? await response.json() : {};
  if (response.ok) return body;
  const error = new ApiError(response.status, body.error || { code: "http", message: `The server answered ${response.status}.` });
  if (response.status === 401) tell("closed");
  throw error;
}

export async function openSession(code) {
  const headers = { "content-type": "application/json" };
  csrf = (await answered(await fetch("/v1/session", { method: "POST", headers, body: JSON.stringify({ code }) }))).csrf;
}

export async function resume() {
  csrf = (await answered(await fetch("/v1/session"))).csrf;
}

export const get = async (path) => answered(await fetch(path));

export async function send(method, path, body, type = "application/json") {
  const headers = { "x-edgetl-csrf": csrf };
  if (body !== undefined) headers["content-type"] = type;
  if (body instanceof FormData) delete headers["content-type"]; // the browser adds it, with the boundary
  const content = body === undefined || body instanceof Blob || body instanceof FormData ? body : JSON.stringify(body);
  for (;;) {
    let response;
    try {
      response = await fetch(path, { method, headers, body: content });
    } catch {
      tell("lost", true);
      if (!path.endsWith("/photos")) throw new ApiError(0, { code: "no-connection", message: "The server does not answer. Try again." });
      await new Promise((resume_) => setTimeout(resume_, 1000));
      continue;
    }
    tell("lost", false);
    return answered(response);
  }
}

export const post = (path, body, type) => send("POST", path, body, type);
export const photosPath = (label) => `/v1/classes/${encodeURIComponent(label)}/photos`;

// A large file; `progress` is called with the share that has been sent, which fetch does not tell.
export function upload(path, file, type, progress) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", path);
    request.setRequestHeader("x-edgetl-csrf", csrf);
    request.setRequestHeader("content-type", type);
    request.upload.onprogress = (event) => progress(event.loaded / event.total);
    request.onerror = () => reject(new ApiError(0, { code: "no-connection", message: "The server does not answer. Try again." }));
    request.onload = () => answered(new Response(request.response, { status: request.status, headers: { "content-type": request.getResponseHeader("content-type") } })).then(resolve, reject);
    request.send(file);
  });
}

let listening = null; // of the session before, if the code was entered again

export function events(handlers) {
  listening?.close();
  const source = listening = new EventSource("/v1/events");
  source.onopen = () => tell("lost", false);
  source.onerror = async () => {
    tell("lost", true);
    if (source === listening && source.readyState === EventSource.CLOSED) {
      try { await resume(); } catch (error) { if (error.status === 401) return; }
      setTimeout(() => { if (source === listening) events(handlers); }, 1000);
    }
  };
  for (const [name, call] of Object.entries(handlers)) source.addEventListener(name, (event) => call(JSON.parse(event.data)));
}
