// Files of mail with scripts: they are sent in chunks, with progress, pause while there is no connection, and resume. Without scripts the
// form sends a smaller file as a whole.

import { ask, localTimes, say } from "./page.js";

const form = document.getElementById("drop");
const list = document.getElementById("upload-list");
const box = document.getElementById("sending");
const welcome = document.querySelector("[data-welcome]");

// refused is an error that another attempt does not mend.
class Refused extends Error {}

function base64(buffer) {
  return btoa(String.fromCharCode(...new Uint8Array(buffer)));
}

// fingerprint is by what a file is known again after a reload: its end, its beginning and its time.
async function fingerprint(file) {
  const edge = 64 * 1024;
  const bytes = await new Blob([file.slice(0, edge), file.slice(-edge)]).arrayBuffer();
  return `${file.lastModified}-${base64(await crypto.subtle.digest("SHA-256", bytes))}`;
}

function size(bytes) {
  return `${(bytes / 1024 / 1024).toFixed(1)} MiB`;
}

// Sending is one file on its way.
class Sending {
  constructor(file) {
    this.file = file;
    this.stopped = new AbortController();
    this.failures = 0;
  }

  async run() {
    box.hidden = false;
    box.querySelector(".name").textContent = this.file.name;
    const button = box.querySelector("button");
    button.onclick = () => this.stopped.abort();
    try {
      await this.begin();
      while (this.at < this.file.size && !this.stopped.signal.aborted) await this.attempt();
      say(this.stopped.signal.aborted ? "Stopped. Choose the file again to go on." : `${this.file.name} is here.`);
    } catch (error) {
      say(error.message);
    } finally {
      box.hidden = true;
      form.hidden = false;
      form.reset();
    }
    await refresh();
  }

  // begin finds the upload that was interrupted, or announces one.
  async begin() {
    this.tell("Looking at the file\u2026");
    const known = await fingerprint(this.file);
    const { uploads, chunk_bytes: chunk } = await ask("GET", "/uploads");
    const found = uploads.find((u) => u.state === "receiving" && u.name === this.file.name && u.size === this.file.size && u.fingerprint === known)
      || await ask("POST", "/uploads", { name: this.file.name, size: this.file.size, fingerprint: known });
    this.id = found.id;
    this.at = found.offset;
    this.chunk = chunk;
    this.show();
  }

  // attempt sends the next chunk, and waits when that fails for now.
  async attempt() {
    try {
      await this.send();
      this.failures = 0;
    } catch (error) {
      if (error instanceof Refused || this.stopped.signal.aborted) throw error;
      this.tell("Paused: the server cannot be reached. It goes on by itself.");
      await this.rest(Math.min(1000 * 2 ** this.failures++, 30_000));
      if (!this.stopped.signal.aborted) await ask("GET", `/uploads/${this.id}`).then((u) => { this.at = u.offset; }, () => {});
    }
    if (!this.stopped.signal.aborted) this.show();
  }

  async send() {
    const bytes = await this.file.slice(this.at, this.at + this.chunk).arrayBuffer().catch(() => {
      throw new Refused("The file was changed or removed while it was sent. Choose it again.");
    });
    const digest = base64(await crypto.subtle.digest("SHA-256", bytes));
    const answer = await fetch(`/api/uploads/${this.id}?offset=${this.at}`, {
      method: "PUT",
      headers: { "Content-Digest": `sha-256=:${digest}:`, "Content-Type": "application/octet-stream", Accept: "application/json" },
      body: bytes,
      signal: this.stopped.signal,
    });
    const result = await answer.json();
    if (answer.ok || answer.status === 409 && result.offset !== undefined) {
      this.at = result.offset;
    } else if (answer.status === 401) {
      throw new Refused("You are signed out. Open the page anew to sign in, and choose the file again to go on.");
    } else if ([403, 404, 409, 413].includes(answer.status) || answer.status === 422 && ++this.failures > 3) {
      throw new Refused(result.detail || `The server answered ${answer.status}.`);
    } else {
      throw new Error(result.detail);
    }
  }

  // rest waits, for less long when the connection comes back.
  rest(milliseconds) {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, milliseconds);
      for (const [target, name] of [[window, "online"], [this.stopped.signal, "abort"]]) {
        target.addEventListener(name, () => { clearTimeout(timer); resolve(); }, { once: true });
      }
    });
  }

  show() {
    const share = Math.floor(100 * this.at / this.file.size);
    box.querySelector("progress").value = share;
    box.querySelector(".amount").textContent = `${size(this.at)} of ${size(this.file.size)}`;
    this.tell(`Sending, ${share} %`);
  }

  tell(text) {
    box.querySelector(".state").textContent = text;
  }
}

// refresh shows how far all files are, and follows those of which something more will come.
let refreshing = null;

async function refresh() {
  refreshing ??= fetch("/import/list", { headers: { Accept: "text/html" } }).then((answer) => (answer.ok ? answer.text() : null), () => null);
  const text = await refreshing;
  refreshing = null;
  if (text === null) return;
  const open = new Set([...list.querySelectorAll("details[open]")].map((details) => details.closest("[data-upload]").dataset.upload));
  const part = new DOMParser().parseFromString(text, "text/html");
  list.replaceChildren(...part.body.childNodes);
  for (const item of list.querySelectorAll("[data-upload]")) {
    if (open.has(item.dataset.upload)) item.querySelector("details").open = true;
  }
  localTimes(list);
  follow();
}

// atOnce is how many files are followed: the server keeps as many streams of a person.
const atOnce = 2;
const followed = new Map();

function follow() {
  for (const again of list.querySelectorAll(".again")) again.remove();
  for (const item of list.querySelectorAll("[data-pending]")) {
    const id = item.dataset.upload;
    if (followed.has(id) || followed.size >= atOnce) continue;
    const source = new EventSource(`/api/uploads/${id}/events`);
    followed.set(id, source);
    source.addEventListener("progress", () => refresh());
    const end = () => { source.close(); followed.delete(id); };
    source.addEventListener("done", () => {
      end();
      if (welcome) location.reload(); // there is mail now
      else refresh();
    });
    source.addEventListener("error", (event) => {
      if (event.data || source.readyState === EventSource.CLOSED) end();
    });
  }
}

function send(file) {
  if (!file || !box.hidden) return;
  if (file.size === 0) {
    say(`${file.name} is empty, or a folder. Drop an archive of the folder instead.`);
    return;
  }
  form.hidden = true;
  new Sending(file).run();
}

if (form) {
  form.querySelector(".dropped").hidden = false;
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    send(form.elements.file.files[0]);
  });
  const over = (event) => {
    if (!event.dataTransfer.types.includes("Files")) return;
    event.preventDefault();
    form.classList.add("over");
  };
  form.addEventListener("dragenter", over);
  form.addEventListener("dragover", over);
  form.addEventListener("dragleave", (event) => { if (!form.contains(event.relatedTarget)) form.classList.remove("over"); });
  form.addEventListener("drop", (event) => {
    event.preventDefault();
    form.classList.remove("over");
    send(event.dataTransfer.files[0]);
  });
}
follow();
