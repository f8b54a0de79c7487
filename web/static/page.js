// What every page does with scripts: times in the browser's zone, and the keys and the undo of the tray. Everything here also works
// by forms and links alone.

const format = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });

export function localTimes(root) {
  for (const time of root.querySelectorAll("time[datetime]")) {
    const at = new Date(time.dateTime);
    if (!Number.isNaN(at.getTime())) {
      time.textContent = format.format(at);
      time.title = time.dateTime;
    }
  }
}

// localAmounts writes amounts as the browser's locale does.
function localAmounts(root) {
  for (const amount of root.querySelectorAll("data.amount")) {
    try {
      amount.textContent = new Intl.NumberFormat(undefined, { style: "currency", currency: amount.dataset.currency }).format(amount.value);
    } catch { /* a currency that the browser does not know */ }
  }
}

const status = document.getElementById("status");
let fading;

// say shows a sentence for ten seconds, with a button that does something about it.
export function say(sentence, label, act) {
  clearTimeout(fading);
  const box = document.createElement("div");
  box.append(sentence);
  if (label) {
    const button = document.createElement("button");
    button.textContent = label;
    button.addEventListener("click", () => { status.replaceChildren(); act(); });
    box.append(button);
  }
  status.replaceChildren(box);
  fading = setTimeout(() => status.replaceChildren(), 10_000);
}

// ask calls the API, and returns its answer or throws an error with a sentence for people.
export async function ask(method, path, body) {
  let answer;
  try {
    answer = await fetch("/api" + path, {
      method,
      headers: body ? { "Content-Type": "application/json", Accept: "application/json" } : { Accept: "application/json" },
      body: body && JSON.stringify(body),
      signal: AbortSignal.timeout(20_000),
    });
  } catch {
    throw new Error("The server did not answer. Open the page anew to see what it did.");
  }
  const result = await answer.json().catch(() => ({}));
  if (answer.status === 401) {
    throw new Error("You are signed out. Open the page anew to sign in.");
  }
  if (!answer.ok) {
    throw new Error(result.detail || `The server answered ${answer.status}.`);
  }
  return result;
}

const words = { approve: "approved", reject: "rejected" };

// Tray takes over the forms of the tray.
class Tray {
  constructor(root) {
    this.root = root;
    this.last = null; // what undo takes back: [{id, item, parent, before}]
    this.movedAt = -Infinity; // when rows last moved: a second click at the same place meets another row
    this.clicked = { x: NaN, y: NaN };
    root.addEventListener("click", (event) => {
      const same = Math.hypot(event.clientX - this.clicked.x, event.clientY - this.clicked.y) < 8;
      this.clicked = { x: event.clientX, y: event.clientY };
      if (same && performance.now() - this.movedAt < 400) event.preventDefault();
    }, true);
    root.addEventListener("submit", (event) => this.submit(event));
    root.addEventListener("focusin", (event) => {
      const item = event.target.closest("[data-item]");
      if (item) this.mark(item);
    });
    document.addEventListener("keydown", (event) => this.key(event));
  }

  items() { return [...this.root.querySelectorAll("[data-item]")]; }

  here() { return this.root.querySelector(".item.here"); }

  mark(item) {
    this.here()?.classList.remove("here");
    item?.classList.add("here");
  }

  go(step) {
    const items = this.items();
    if (items.length === 0) return;
    const at = items.indexOf(this.here());
    const next = items[at < 0 ? 0 : Math.min(Math.max(at + step, 0), items.length - 1)];
    this.mark(next);
    next.focus({ preventScroll: true });
    next.scrollIntoView({ block: "nearest" });
  }

  submit(event) {
    const button = event.submitter;
    const group = event.target.closest(".group");
    if (!button || !group || button.name === "always") return;
    event.preventDefault();
    if (!button.name) return; // Enter in a field
    if (button.name !== "all") {
      this.decide([button.closest("[data-item]")], button.name);
      return;
    }
    const all = [...group.querySelectorAll("[data-item]")];
    const picked = all.filter((item) => item.querySelector("[name=selected]").checked);
    this.decide(picked.length > 0 ? picked : all, button.value);
  }

  async decide(items, word) {
    items = items.filter((item) => item.isConnected && item.getAttribute("aria-busy") !== "true");
    if (items.length === 0) return;
    const ids = items.map((item) => item.id.slice("item-".length));
    for (const item of items) item.setAttribute("aria-busy", "true");
    try {
      const answer = await ask("POST", "/actions/decide", { decisions: ids.map((id) => ({ id, decision: word })) });
      const decided = new Set(answer.results.filter((result) => result.outcome === "decided").map((result) => result.id));
      const lost = answer.results.filter((result) => result.outcome !== "decided" && result.outcome !== "repeated").length;
      this.take(items, decided);
      say(`${items.length - lost} ${words[word]}` + (lost > 0 ? `, ${lost} decided elsewhere or expired` : ""), decided.size > 0 && "Undo", () => this.undo());
    } catch (error) {
      say(error.message);
    } finally {
      for (const item of items) item.removeAttribute("aria-busy");
    }
  }

  // take removes what waits no more and goes on to the next proposal. Undo takes back what was decided here.
  take(items, decided) {
    const all = this.items();
    const after = all.slice(all.indexOf(items.at(-1)) + 1).find((item) => !items.includes(item)) || all.findLast((item) => !items.includes(item));
    this.last = items.map((item) => ({ id: item.id.slice("item-".length), item, parent: item.parentElement, before: item.nextElementSibling }))
      .filter(({ id }) => decided.has(id));
    this.movedAt = performance.now();
    for (const item of items) item.remove();
    this.tidy();
    if (after) {
      this.mark(after);
      after.focus({ preventScroll: true });
    } else {
      document.getElementById("main").focus();
    }
  }

  // tidy hides groups without proposals and counts the rest.
  tidy() {
    for (const group of this.root.querySelectorAll(".group")) {
      group.hidden = group.querySelector("[data-item]") === null;
    }
    const count = this.items().length;
    this.root.querySelector(".heading p").textContent = count === 1 ? "1 proposal" : `${count} proposals`;
    document.getElementById("all-decided").hidden = count > 0;
  }

  async undo() {
    if (!this.last?.length) {
      this.root.querySelector("form.done button")?.click();
      return;
    }
    const last = this.last;
    this.last = null;
    const back = [];
    try {
      for (const one of last) {
        await ask("POST", `/actions/${one.id}/revert`);
        back.push(one);
      }
    } catch (error) {
      this.last = last.filter((one) => !back.includes(one));
      say(error.message, "Undo", () => this.undo());
    }
    for (const { item, parent, before } of back.toReversed()) {
      item.querySelector("[name=selected]").checked = false;
      parent.insertBefore(item, before?.parentElement === parent ? before : null);
    }
    this.movedAt = performance.now();
    this.tidy();
    if (back.length < last.length) return;
    this.mark(last[0].item);
    last[0].item.focus();
    say("Taken back.");
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input:not([type=checkbox]), textarea, select, dialog[open]")) return;
    if (event.key === "Enter" && event.target.closest("button, a, input, summary")) return; // what it presses there
    const here = this.here();
    const keys = {
      j: () => this.go(1),
      k: () => this.go(-1),
      a: () => here && this.decide([here], "approve"),
      r: () => here && this.decide([here], "reject"),
      u: () => this.undo(),
      e: () => { if (here) { const why = here.querySelector("details"); why.open = !why.open; } },
      x: () => { if (here) { const pick = here.querySelector("[name=selected]"); pick.checked = !pick.checked; } },
      Enter: () => here && location.assign(here.querySelector(".subject a").href),
      "?": () => document.getElementById("keys").showModal(),
    };
    if (event.repeat && "arux".includes(event.key)) {
      event.preventDefault(); // a key that is held decides once
    } else if (keys[event.key]) {
      event.preventDefault();
      keys[event.key]();
    }
  }
}

localTimes(document);
localAmounts(document);
if (document.getElementById("keys")) {
  new Tray(document.getElementById("main"));
}
document.documentElement.dataset.ready = "true";
