// The assistant with scripts: answers come piece by piece, from the language model too, and the page stays.

import { ask, localTimes } from "./page.js";

const form = document.getElementById("ask");
const shown = document.getElementById("answer");
const hits = document.getElementById("hits");

// element makes an element with text and others in it. Text is never markup.
function element(name, attributes, ...parts) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...parts);
  return made;
}

const feature = { category: "category", sender_domain: "from", sender: "from", listid: "list", contains: "subject has" };

// kept says what is remembered.
function kept(list) {
  return list.map(({ feature: name, weight }) => {
    const [kind, ...value] = name.split(":");
    return `${feature[kind] ? `${feature[kind]} ${value.join(":")}` : name} ${weight < 0 ? "\u2212" : "+"}${Math.abs(weight).toFixed(2)}`;
  }).join(", ");
}

// Question is one question under way.
class Question {
  constructor(question) {
    this.question = question;
    this.numbers = new Map(); // of the mails that are cited
    this.keeps = false;
    this.ended = false;
  }

  async run() {
    this.clear();
    hits.replaceChildren();
    document.getElementById("examples")?.remove();
    document.querySelector(".columns > div > .problem")?.remove();
    this.wait = element("p", { class: "hint", role: "status" }, "Looking through your mail\u2026 ", element("button", { type: "button" }, "Stop"));
    this.wait.querySelector("button").addEventListener("click", () => this.end("Stopped."));
    shown.append(this.wait);
    try {
      const { stream } = await ask("POST", "/chat", this.question);
      if (!this.ended) this.listen(stream);
    } catch (error) {
      this.end(error.message, true);
    }
  }

  listen(stream) {
    this.source = new EventSource(`/api/chat/stream?stream=${encodeURIComponent(stream)}`);
    for (const name of ["ready", "tool", "answer", "filed", "memory", "done"]) {
      this.source.addEventListener(name, (event) => { if (!this.ended) this[name](JSON.parse(event.data)); });
    }
    this.source.addEventListener("error", (event) => {
      if (this.ended) return;
      if (event.data) this.end(JSON.parse(event.data).detail, true);
      else if (this.source.readyState === EventSource.CLOSED) this.end("The assistant cannot answer now. Ask again in a moment: nothing is done twice.", true);
      else this.wait.firstChild.data = "The connection broke; trying again\u2026 ";
    });
  }

  clear() {
    shown.replaceChildren(...(this.wait ? [this.wait] : []));
    this.numbers.clear();
  }

  add(...parts) { this.wait.before(...parts); }

  ready({ again }) { if (again) this.clear(); }

  tool({ tool, query, matches }) {
    if (tool !== "search") return;
    this.query = query;
    if (matches > 0) this.showHits(query);
    else if (this.question.window_days !== 3650) this.all = true;
  }

  async showHits(query) {
    const asked = new URLSearchParams({ q: query });
    if (this.question.mode) asked.set("mode", this.question.mode);
    const answer = await fetch(`/hits?${asked}`, { headers: { Accept: "text/html" } }).catch(() => null);
    const text = answer?.ok ? await answer.text() : "";
    if (current !== this) return;
    hits.replaceChildren(...new DOMParser().parseFromString(text, "text/html").body.childNodes);
    localTimes(hits);
  }

  answer({ text, mail_ids: ids, by, would_keep: keeps }) {
    const claim = element("p", { class: `claim ${by}` }, element("bdi", {}, text));
    for (const id of ids) {
      if (!this.numbers.has(id)) this.numbers.set(id, this.numbers.size + 1);
      const number = this.numbers.get(id);
      claim.append(" ", element("a", { class: "cite", href: `/mail/${encodeURIComponent(id)}`, "aria-label": `Mail ${number}` }, String(number)));
    }
    this.add(claim);
    this.keeps ||= Boolean(keeps?.length);
  }

  filed({ proposed }) {
    this.add(proposed === 0 ? element("p", { class: "done" }, "Nothing new was proposed.")
      : element("p", { class: "done" }, `${proposed} ${proposed === 1 ? "action" : "actions"} proposed. `, element("a", { href: "/tray" }, "Open the tray")));
  }

  memory({ kept: list }) {
    this.add(list.length === 0 ? element("p", { class: "done" }, "Nothing was remembered.")
      : element("p", { class: "done" }, `Remembered: ${kept(list)}. `, element("a", { href: "/preferences" }, "Open the preferences")));
  }

  done() {
    if (this.keeps && !this.question.remember) {
      const button = element("button", { type: "button", class: "main" }, "Remember this");
      button.addEventListener("click", () => begin({ ...this.question, remember: true, propose: false }));
      this.add(button);
    }
    if (this.query) {
      this.add(element("details", { class: "search" }, element("summary", {}, "The search"), element("code", {}, this.query)));
    }
    if (this.all) {
      const button = element("button", { type: "button" }, "Look in all mail");
      button.addEventListener("click", () => {
        form.elements.window_days.value = "3650";
        form.requestSubmit();
      });
      this.add(button);
    }
    this.end();
  }

  // end stops listening, and says why.
  end(sentence, wrong) {
    this.ended = true;
    this.source?.close();
    if (sentence) this.wait.before(element("p", wrong ? { class: "problem", role: "alert" } : { class: "hint" }, sentence));
    this.wait.remove();
  }
}

let current = null;

function begin(question) {
  current?.end();
  current = new Question(question);
  current.run();
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  const { q, mode, propose, explain, remember, window_days: days } = form.elements;
  const question = { q: q.value.trim() };
  if (question.q === "") return;
  if (mode.value) question.mode = mode.value;
  if (explain.checked) question.explain = true;
  if (days.value) question.window_days = Number(days.value);
  const address = new URLSearchParams(Object.entries(question).map(([name, value]) => [name, value === true ? "1" : String(value)]));
  history.pushState(null, "", `/?${address}`);
  if (propose.checked) question.propose = true;
  if (remember.checked) question.remember = true;
  begin(question);
});

// The link to the export stands there in the mode that is chosen.
form.elements.mode.addEventListener("change", (event) => {
  const money = event.target.value === "money";
  document.getElementById("export").replaceChildren(...(money ? [element("a", { href: "/money/receipts.csv", download: "" }, "Export receipts (CSV)")] : []));
});

// Back and forward show what the server says about that address.
addEventListener("popstate", () => location.reload());
