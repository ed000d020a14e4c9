// One member's connection to the party: joins, resumes after a cut, keeps every fix until the server has
// settled it. It draws nothing and asks for no position. docs/asyncapi.yaml describes what it speaks.

const BACKOFF_LOW_MS = 250;
const BACKOFF_HIGH_MS = 30_000;
const AWAY_HIGH_MS = 500; // the first wait after a goodbye (4000), which the server spreads itself
const STEADY_MS = 10_000; // a connection that lived this long starts the backoff anew
const MAX_HELD = 10_000; // fixes kept; when full, the oldest is lost, so that the newest is not
const MAX_FIXES = 500; // fixes in one message

export const ENDS = {
  4500: "The server did not understand this page. Reload it.",
  4501: "This invitation is not valid any more. Ask the host for a new one.",
  4502: "The host removed you from the party.",
  4503: "The party has ended.",
  4504: "The party is full.",
  4506: "The server did not understand this page. Reload it.",
  4507: "You are connected from another window. This one has stopped.",
  4508: "Only the host may do that.",
};

export function mayComeAgain(code) {
  if (code >= 4000 && code < 5000) return code < 4500;
  return ![1000, 1002, 1003, 1007, 1008, 1009, 1010].includes(code);
}

export class Stream {
  // `first` gives the first message; `hear` gets each of the server's messages; `closed(code, inMs)` is told
  // of a cut, with when it comes again, or null for never.
  constructor({ first, hear, closed }) {
    Object.assign(this, { first, hear, closed });
    this.held = new Map(); // seq to fix, in order
    this.lost = 0;
    this.seq = 0;
    this.tries = 0;
    this.live = false;
    this.hold = false;
    this.over = false;
  }

  open() {
    clearTimeout(this.timer);
    if (this.over || this.socket) return;
    const url = new URL("/v1/stream", location.href);
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    url.hash = "";
    const socket = new WebSocket(url, "partyline.v1.json");
    this.socket = socket;
    this.openedAt = Date.now();
    socket.onopen = () => socket.send(JSON.stringify(this.first()));
    socket.onmessage = (event) => this.take(JSON.parse(event.data));
    socket.onclose = (event) => this.cut(event.code);
  }

  offer(fix) {
    if (this.held.size >= MAX_HELD) {
      this.held.delete(this.held.keys().next().value);
      this.lost += 1;
    }
    const item = { seq: ++this.seq, ...fix };
    this.held.set(item.seq, item);
    if (this.live) this.say({ t: "fix", ...item });
  }

  say(message) {
    if (this.live) this.socket.send(JSON.stringify(message));
    return this.live;
  }

  forget() { this.held.clear(); }

  stop() {
    this.over = true;
    this.live = false;
    clearTimeout(this.timer);
    this.socket?.close(1000);
  }

  take(message) {
    if (message.t === "welcome") {
      this.live = true;
      this.hold = false;
      this.sendAgain();
    } else if (message.t === "ack") {
      for (const seq of this.held.keys()) {
        if (seq > message.seq) break;
        this.held.delete(seq);
      }
      this.tries = 0;
    } else if (message.t === "reject") {
      this.held.delete(message.seq);
    } else if (message.t === "policy") {
      const released = this.hold && !message.hold;
      this.hold = message.hold;
      if (released) this.sendAgain();
    }
    this.hear(message);
  }

  sendAgain() {
    const items = [...this.held.values()];
    for (let from = 0; from < items.length; from += MAX_FIXES) {
      this.say({ t: "fixes", items: items.slice(from, from + MAX_FIXES) });
    }
  }

  cut(code) {
    const told = code === 4000 && this.live;
    this.socket = null;
    this.live = false;
    if (this.over) return;
    if (!mayComeAgain(code)) {
      this.over = true;
      this.closed(code, null);
      return;
    }
    if (told || Date.now() - this.openedAt >= STEADY_MS) this.tries = 0;
    const bound = Math.min(BACKOFF_HIGH_MS, 4 * BACKOFF_LOW_MS * 2 ** Math.min(this.tries++, 16));
    const wait = told ? Math.random() * AWAY_HIGH_MS : BACKOFF_LOW_MS + Math.random() * (bound - BACKOFF_LOW_MS);
    this.timer = setTimeout(() => this.open(), wait);
    this.closed(code, wait);
  }
}
