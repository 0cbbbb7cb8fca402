// The chat page. Speaks the gateway's own API and nothing else; keeps no state that the log does not have.
"use strict";

const $ = (id) => document.getElementById(id);
const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

// MARK: The API

class Refusal extends Error {
  constructor(status, error) {
    super(error?.message ?? `the gateway answered ${status}`);
    this.status = status;
    this.code = error?.code;
    this.winner = error;
  }
}

// A request that may be repeated without harm is, while the gateway is away: a replica that leaves is replaced.
async function call(method, path, { body, headers = {}, tries = 1 } = {}) {
  for (let attempt = 1; ; attempt += 1) {
    let answer = null;
    try {
      answer = await fetch(path, {
        method,
        headers: body === undefined
          ? { Accept: "application/json", ...headers }
          : { Accept: "application/json", "Content-Type": "application/json", ...headers },
        body: body === undefined ? undefined : JSON.stringify(body),
      });
    } catch {
      if (attempt >= tries) throw new Refusal(0, { message: "the gateway cannot be reached" });
    }
    if (answer?.ok) return answer.status === 204 ? null : answer.json();
    if (answer && (answer.status < 502 || attempt >= tries)) {
      const { error } = await answer.json().catch(() => ({}));
      if (answer.status === 401) showDoor();
      throw new Refusal(answer.status, error);
    }
    await pause(Math.min(4000, 250 * 2 ** attempt) * (0.5 + Math.random() / 2));
  }
}

// MARK: One turn on the page

class TurnView {
  constructor(id, seq) {
    this.id = id;
    this.seq = seq;
    this.lastEvent = 0;
    this.text = "";
    this.tools = new Map();
    this.questions = new Map();
    this.isOver = false;
    this.ahead = 0;
    this.root = element("article", "turn");
    this.said = element("div", "said");
    this.extras = element("div", "turn");
    this.reply = element("div", "reply");
    this.state = element("div", "state");
    this.root.append(this.said, this.extras, this.reply, this.state);
  }

  say(parts) {
    this.said.textContent = parts.map((part) => part.text ?? `[${part.type}]`).join("\n");
  }

  // Text with code fences; nothing else is interpreted, and nothing is ever HTML.
  show(text) {
    this.text = text;
    const pieces = text.split("```");
    this.reply.replaceChildren(...pieces.map((piece, index) =>
      index % 2 ? element("pre", "", piece.replace(/^[\w+-]*\n/, "")) : document.createTextNode(piece)));
  }

  tell(text, isBad = false) {
    this.state.className = isBad ? "state bad" : "state";
    this.state.replaceChildren(text);
    if (!this.isOver && this.ahead > 0) {
      const cancel = element("button", "quiet", "Cancel");
      cancel.onclick = () => cancelTurn(this.id);
      this.state.append(cancel);
    }
  }

  queued(ahead) {
    this.ahead = ahead;
    this.tell(ahead > 0 ? `queued, ${ahead} ahead` : "queued");
  }

  ended(outcome) {
    this.isOver = true;
    this.show(outcome.reply || outcome.partial || "");
    for (const close of this.questions.values()) close("no longer asked");
    if (outcome.state === "completed") this.tell("");
    else if (outcome.state === "cancelled") this.tell("cancelled");
    else if (outcome.code === "interrupted") this.tell("interrupted");
    else this.tell(`${outcome.code}: ${outcome.message}`, true);
  }

  tool(data) {
    let view = this.tools.get(data.id);
    if (!view) {
      view = { root: element("details"), title: element("summary"), body: element("pre") };
      view.root.append(view.title, view.body);
      this.tools.set(data.id, view);
      this.extras.append(view.root);
    }
    view.title.textContent = `${data.name} · ${data.status}`;
    const parts = [data.input, data.output].filter((part) => part !== undefined && part !== null);
    view.body.textContent = parts.map((part) => JSON.stringify(part, null, 2)).join("\n\n");
  }

  note(kind, title, text) {
    let view = this.tools.get(kind);
    if (!view) {
      view = { root: element("details"), body: element("pre") };
      view.root.append(element("summary", "", title), view.body);
      this.tools.set(kind, view);
      this.extras.append(view.root);
    }
    view.body.textContent = text(view.body.textContent);
  }

  ask(data) {
    const root = element("section", "question");
    root.setAttribute("aria-label", "Permission");
    const options = element("div", "options");
    for (const option of data.options) {
      const button = element("button", option.kind?.startsWith("reject") ? "quiet" : "", option.name);
      button.onclick = () => decide(data.approval, option.id, options);
      options.append(button);
    }
    root.append(element("p", "", `May it use “${data.tool.name}”?`));
    if (data.arguments !== null && data.arguments !== undefined) {
      root.append(element("pre", "", JSON.stringify(data.arguments, null, 2)));
    }
    root.append(options);
    this.extras.append(root);
    const names = new Map(data.options.map((option) => [option.id, option.name]));
    this.questions.set(data.approval, (answer) => {
      options.replaceChildren(element("span", "hint", names.get(answer) ?? answer));
      this.questions.delete(data.approval);
    });
  }
}

// MARK: The conversation that is open

const room = { agent: null, id: null, views: new Map(), after: 0, source: null, generation: 0, oldest: 0 };

function ordered() {
  return [...room.views.values()].sort((a, b) => a.seq - b.seq);
}

function place(view) {
  room.views.set(view.id, view);
  const later = ordered().find((other) => other.seq > view.seq && other.root.isConnected);
  $("log").insertBefore(view.root, later?.root ?? null);
  $("empty").hidden = true;
}

function isNearEnd() {
  const { scrollTop, scrollHeight, clientHeight } = $("room");
  return scrollHeight - scrollTop - clientHeight < 80;
}

function toEnd() {
  $("room").scrollTop = $("room").scrollHeight;
}

// The view of a turn that may be another tab's: what was said there is asked for.
function viewOf(id) {
  const known = room.views.get(id);
  if (known) return known;
  const view = new TurnView(id, Number.MAX_SAFE_INTEGER);
  place(view);
  const generation = room.generation;
  call("GET", `/v1/turns/${id}`, { tries: 6 }).then(({ turn }) => {
    if (generation !== room.generation) return;
    view.say(turn.input);
    if (view.seq !== turn.seq) {
      view.seq = turn.seq;
      place(view);
    }
  }).catch(report);
  return view;
}

const handlers = {
  "turn.queued": (view, data) => view.queued(data.position ?? 0),
  "turn.started": (view, data) => {
    view.ahead = 0;
    if (data.attempt > 1) view.show("");
    view.tell("working…");
  },
  "delta": (view, data) => view.show(view.text + data.text),
  "thought": (view, data) => view.note("thoughts", "thoughts", (before) => before + data.text),
  "plan": (view, data) => view.note("plan", "plan", () =>
    data.entries.map((entry) => `${entry.status ?? ""} ${entry.content ?? ""}`.trim()).join("\n")),
  "tool": (view, data) => view.tool(data),
  "usage": () => {},
  "backend": () => {},
  "approval.requested": (view, data) => {
    view.ask(data);
    view.tell("waiting for a decision");
  },
  "approval.resolved": (view, data) => {
    view.questions.get(data.approval)?.(data.decision ?? data.state);
    if (view.questions.size === 0 && !view.isOver) view.tell("working…");
  },
  "turn.retried": (view, data) => view.tell(`trying again: ${data.message}`),
  waiting_account: (view, data) => view.tell(`waiting: nobody hosts an account of ${data.provider}`),
  "account.migrated": (view) => view.tell("the conversation goes on on another account"),
  "turn.parked": (view) => view.tell("waiting for a decision"),
  "turn.completed": (view, data) => view.ended({ ...data, state: "completed" }),
  "turn.failed": (view, data) => view.ended({ ...data, state: "failed" }),
  "turn.cancelled": (view, data) => view.ended({ ...data, state: "cancelled" }),
};

function apply(type, data) {
  const stays = isNearEnd();
  const view = viewOf(data.turn);
  if (data.seq <= view.lastEvent) return;
  view.lastEvent = data.seq;
  const wasOver = view.isOver;
  handlers[type]?.(view, data);
  if (view.isOver && !wasOver) {
    for (const other of room.views.values()) {
      if (!other.isOver && other.seq > view.seq && other.ahead > 0) other.queued(other.ahead - 1);
    }
  }
  showChoices();
  if (stays) toEnd();
}

function running() {
  return ordered().find((view) => !view.isOver && view.ahead === 0);
}

// What can be done about a turn that runs: end it, and with a message say something instead.
function showChoices() {
  const isRunning = running() !== undefined;
  $("stop").disabled = !isRunning;
  $("interrupt").hidden = !isRunning;
}

function link(state, text) {
  $("link").className = state;
  $("link").textContent = text;
}

// Follows the log from where the page stands. The browser comes back by itself after a broken connection; a refusal ends
// an EventSource for good, so those are tried again here.
function follow() {
  room.source?.close();
  const generation = room.generation;
  const source = new EventSource(`${pathOf(room.agent, room.id)}/events?after=${room.after}`);
  room.source = source;
  source.onopen = () => link("live", "live");
  source.onerror = async () => {
    if (generation !== room.generation) return;
    link("lost", "reconnecting…");
    if (source.readyState !== EventSource.CLOSED) return;
    await pause(1000 + Math.random() * 1000);
    if (generation !== room.generation || source !== room.source) return;
    try {
      await call("GET", "/v1/session", { tries: 100 });
      follow();
    } catch (refusal) {
      report(refusal);
    }
  };
  for (const type of Object.keys(handlers)) {
    source.addEventListener(type, (event) => {
      if (generation !== room.generation) return;
      room.after = Number(event.lastEventId);
      apply(type, JSON.parse(event.data));
    });
  }
  source.addEventListener("resync", () => open(room.agent, room.id));
}

function pathOf(agent, id) {
  return `/v1/agents/${encodeURIComponent(agent)}/conversations/${encodeURIComponent(id)}`;
}

function showTurn(turn) {
  const view = room.views.get(turn.id) ?? new TurnView(turn.id, turn.seq);
  view.say(turn.input);
  if (turn.outcome) view.ended(turn.outcome);
  else if (turn.state === "queued") view.queued(turn.position);
  else view.tell("working…");
  place(view);
  return view;
}

async function showOlder() {
  const { turns, next } = await call("GET", `${pathOf(room.agent, room.id)}/turns?limit=30&before=${room.oldest}`);
  const height = $("room").scrollHeight;
  turns.forEach(showTurn);
  room.oldest = next;
  $("older").hidden = next === null;
  $("room").scrollTop += $("room").scrollHeight - height;
}

async function open(agent, id) {
  room.generation += 1;
  const generation = room.generation;
  room.source?.close();
  Object.assign(room, { agent, id, views: new Map(), after: 0, source: null, oldest: 0 });
  $("log").replaceChildren();
  $("empty").hidden = false;
  $("older").hidden = true;
  $("problem").textContent = "";
  showChoices();
  $("title").textContent = `${agent} / ${id}`;
  document.title = `${id} · Turnpike`;
  link("", "");
  markCurrent();
  try {
    const conversation = await call("GET", pathOf(agent, id), { tries: 6 });
    const { turns, next } = await call("GET", `${pathOf(agent, id)}/turns?limit=30`, { tries: 6 });
    if (generation !== room.generation) return;
    const open = turns.map(showTurn).filter((view) => !view.isOver);
    room.oldest = next;
    $("older").hidden = next === null;
    for (const view of open) await catchUp(view);
    if (generation !== room.generation) return;
    room.after = conversation.last_event;
    toEnd();
    follow();
  } catch (refusal) {
    // A conversation begins with its first turn.
    if (refusal.status !== 404) report(refusal);
  }
}

// What an open turn has said before the page came.
async function catchUp(view) {
  for (let after = 0; after !== null;) {
    const page = await call("GET", `${pathOf(room.agent, room.id)}/events?turn=${view.id}&after=${after}&limit=1000`);
    for (const event of page.events) apply(event.type, event);
    after = page.next;
  }
}

// MARK: What people do

function report(refusal) {
  $("problem").textContent = refusal.message;
}

async function send(text, isInterrupting) {
  const { agent, id, generation } = room;
  // The key makes a repeated request the same turn, so that a lost answer costs nothing.
  const { turn } = await call("POST", `${pathOf(agent, id)}/turns`, {
    body: { input: text, client_key: crypto.randomUUID(), ...(isInterrupting && { on_busy: "interrupt" }) },
    tries: 6,
  });
  if (generation !== room.generation) return;
  const view = room.views.get(turn.id) ?? new TurnView(turn.id, turn.seq);
  view.seq = turn.seq;
  view.say([{ type: "text", text }]);
  if (!view.lastEvent) view.queued(turn.position);
  place(view);
  toEnd();
  showChoices();
  if (!room.source) {
    follow();
    listConversations().catch(report);
  }
}

async function cancelTurn(id) {
  try {
    await call("POST", `/v1/turns/${id}/cancel`, { tries: 3 });
  } catch (refusal) {
    // It ended first: the log says how.
    if (refusal.status !== 409) report(refusal);
  }
}

async function decide(approval, option, options) {
  for (const button of options.querySelectorAll("button")) button.disabled = true;
  try {
    await call("POST", `/v1/approvals/${approval}`, { body: { decision: option }, tries: 3 });
  } catch (refusal) {
    report(refusal);
    for (const button of options.querySelectorAll("button")) button.disabled = false;
  }
}

// MARK: The lists

async function listAgents() {
  try {
    const { agents } = await call("GET", "/v1/agents", { tries: 6 });
    return agents.map((agent) => agent.id);
  } catch (refusal) {
    // Without the scope the page still reaches the default agent and whatever the address names.
    if (refusal.status !== 403) throw refusal;
    return ["default"];
  }
}

const listed = { conversations: [], next: null };

async function listConversations(isMore = false) {
  const agent = $("agent").value;
  if (!agent) return;
  const after = isMore && listed.next ? `&after=${encodeURIComponent(listed.next)}` : "";
  const path = `/v1/agents/${encodeURIComponent(agent)}/conversations?limit=200${after}`;
  const page = await call("GET", path, { tries: 3 });
  listed.conversations = isMore ? listed.conversations.concat(page.conversations) : page.conversations;
  listed.next = page.next;
  listed.conversations.sort((a, b) => (a.active_at < b.active_at ? 1 : -1));
  $("conversations").replaceChildren(...listed.conversations.map((conversation) => {
    const item = element("li");
    const anchor = element("a", "", conversation.id + (conversation.running ? " …" : ""));
    anchor.href = `#${encodeURIComponent(agent)}/${encodeURIComponent(conversation.id)}`;
    item.append(anchor);
    return item;
  }));
  $("more-conversations").hidden = listed.next === null;
  markCurrent();
}

function markCurrent() {
  for (const anchor of $("conversations").querySelectorAll("a")) {
    if (anchor.hash === `#${encodeURIComponent(room.agent)}/${encodeURIComponent(room.id)}`) {
      anchor.setAttribute("aria-current", "page");
    } else {
      anchor.removeAttribute("aria-current");
    }
  }
}

function freshName() {
  const time = new Date().toISOString().slice(0, 16).replaceAll(/[-:]/g, "").replace("T", "-");
  return `chat-${time}-${crypto.getRandomValues(new Uint32Array(1))[0].toString(36)}`;
}

function startNew() {
  location.hash = `${encodeURIComponent($("agent").value)}/${freshName()}`;
}

async function route() {
  const [agent, id] = location.hash.slice(1).split("/").map(decodeURIComponent);
  if (!agent || !id) return startNew();
  if ($("agent").value !== agent) {
    if (![...$("agent").options].some((option) => option.value === agent)) $("agent").add(new Option(agent, agent));
    $("agent").value = agent;
    listConversations().catch(report);
  }
  toggleMenu(false);
  await open(agent, id);
  focusInput();
}

// MARK: The door

function showDoor() {
  room.generation += 1;
  room.source?.close();
  $("house").hidden = true;
  $("door").hidden = false;
  $("token").focus();
}

async function enter() {
  const agents = await listAgents();
  $("agent").replaceChildren(...agents.map((id) => new Option(id, id)));
  $("door").hidden = true;
  $("house").hidden = false;
  await listConversations();
  await route();
}

async function signIn(event) {
  event.preventDefault();
  $("door-problem").textContent = isSecureContext ? "" : plainProblem;
  if (!isSecureContext) return;
  const token = $("token").value.trim();
  $("token").value = "";
  try {
    await call("POST", "/v1/session", { headers: { Authorization: `Bearer ${token}` } });
    await enter();
  } catch (refusal) {
    $("door-problem").textContent = refusal.message;
  }
}

// Browsers drop the session's cookie there, and the token would be readable on its way.
const plainProblem =
  "This page came over plain HTTP, where a browser keeps no session: open it over https://, or on the gateway's machine.";

async function signOut() {
  await call("DELETE", "/v1/session").catch(() => {});
  location.hash = "";
  showDoor();
}

function toggleMenu(isOpen = !$("side").classList.contains("open")) {
  $("side").classList.toggle("open", isOpen);
  $("menu").setAttribute("aria-expanded", String(isOpen));
}

// Not where it would bring up a keyboard that hides what is to be read.
function focusInput() {
  if (matchMedia("(pointer: fine)").matches) $("input").focus();
}

function fit() {
  $("input").style.height = "auto";
  $("input").style.height = `${$("input").scrollHeight + 2}px`;
}

async function submit(event, isInterrupting = false) {
  event?.preventDefault();
  const text = $("input").value;
  if (!text.trim() || $("send").disabled) return;
  $("problem").textContent = "";
  $("send").disabled = true;
  $("interrupt").disabled = true;
  try {
    await send(text, isInterrupting);
    $("input").value = "";
    fit();
  } catch (refusal) {
    report(refusal);
  }
  $("send").disabled = false;
  $("interrupt").disabled = false;
  focusInput();
}

function begin() {
  $("sign-in").onsubmit = signIn;
  $("sign-out").onclick = signOut;
  $("menu").onclick = () => toggleMenu();
  $("new").onclick = startNew;
  $("older").onclick = () => showOlder().catch(report);
  $("more-conversations").onclick = () => listConversations(true).catch(report);
  $("agent").onchange = () => {
    listConversations().catch(report);
    startNew();
  };
  $("composer").onsubmit = (event) => submit(event);
  $("interrupt").onclick = (event) => submit(event, true);
  $("stop").onclick = () => running() && cancelTurn(running().id);
  $("input").oninput = fit;
  $("input").onkeydown = (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    submit(event, event.ctrlKey || event.metaKey);
  };
  document.onkeydown = (event) => {
    if (event.key !== "Escape") return;
    if ($("side").classList.contains("open")) {
      toggleMenu(false);
      $("menu").focus();
    } else if (running()) {
      cancelTurn(running().id);
    }
  };
  window.onhashchange = () => route().catch(report);
  setInterval(() => {
    if (!document.hidden && !$("house").hidden && listed.next === null) listConversations().catch(() => {});
  }, 15000);
  call("GET", "/v1/session", { tries: 6 }).then(enter).catch((refusal) => {
    showDoor();
    if (refusal.status !== 401) $("door-problem").textContent = refusal.message;
    else if (!isSecureContext) $("door-problem").textContent = plainProblem;
  });
}

begin();
