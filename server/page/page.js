// The page: who we are, what we share, who is there. The token comes in the fragment, which no server sees,
// and leaves the address bar at once; this window alone remembers it. `who.js` keeps who we are.

import { colour, cellSide, draw, lengthText } from "/page/map.js";
import { ENDS, Stream } from "/page/stream.js";
import { asKnown, drop, keep, known } from "/page/who.js";

const at = (id) => document.getElementById(id);
const KEY = "partyline";
const COARSENESS = { exact: 0, rough: 1, private: 2 };
const WORDS = { exact: "exactly", rough: "roughly", private: "not at all" };

let me = {}; // token, memberToken, name, precision, link: what survives a reload of this window
let party = null; // members, rows, you, role, precision, clock
let stream = null;
let watching = null; // the id of the position watch while we share
let located = null; // whether the last thing the watch said was a position

// --- what this window remembers ---------------------------------------------------------------

function remember(change) {
  me = { ...me, ...change };
  sessionStorage.setItem(KEY, JSON.stringify(me));
}

function begin() {
  me = JSON.parse(sessionStorage.getItem(KEY) ?? "{}");
  const token = decodeURIComponent(location.hash.slice(1));
  if (token) {
    history.replaceState(null, "", location.pathname);
    if (token !== me.token) {
      me = {};
      remember({ token });
    }
  }
  if (me.memberToken) enter();
  else show(me.token ? "join" : "start");
}

function show(id) {
  for (const name of ["start", "join", "party"]) at(name).hidden = name !== id;
}

function status(text, warn = false) {
  at("status").textContent = text;
  at("status").classList.toggle("warn", warn);
}

// --- coming in --------------------------------------------------------------------------------

at("create").onsubmit = async (event) => {
  event.preventDefault();
  const form = new FormData(event.target);
  status("Starting …");
  try {
    const body = JSON.stringify({ display_name: form.get("name"), precision: form.get("precision") });
    const type = { "Content-Type": "application/json" };
    const answer = await asKnown((who) => fetch("/v1/sessions", { method: "POST", headers: { ...type, ...who }, body }));
    const made = await answer.json();
    if (!answer.ok) return status(answer.status === 401 ? "Guests cannot start a party on this server." : made.detail, true);
    me = {};
    remember({ memberToken: made.host.member_token, link: made.join_url, token: made.sharable_token, precision: "exact" });
    enter();
  } catch {
    status("The server does not answer. Try again in a moment.", true);
  }
};

at("paste").onsubmit = (event) => {
  event.preventDefault();
  const link = new FormData(event.target).get("link").trim();
  const token = link.includes("#") ? link.slice(link.indexOf("#") + 1) : link;
  if (!/^[\w-]{16,}$/.test(token)) return status("That is not an invitation: copy the whole link.", true);
  me = {};
  remember({ token });
  status("");
  show("join");
};

at("enter").onsubmit = (event) => {
  event.preventDefault();
  const form = new FormData(event.target);
  const share = event.submitter?.value !== "watch";
  remember({ name: form.get("name"), precision: form.get("precision"), sharing: share });
  enter();
};

function enter() {
  party = { members: new Map(), rows: new Map(), you: 0, role: "", precision: "exact", clock: 0 };
  at("own").value = me.precision ?? "exact";
  show("party");
  status("Connecting …");
  stream = new Stream({
    first: () =>
      me.memberToken
        ? { t: "resume", token: me.memberToken }
        : { t: "join", token: me.token, name: me.name, precision: me.sharing ? me.precision : "private", user: known() },
    hear: (message) => HEARD[message.t]?.(message),
    closed: over,
  });
  stream.open();
  paint();
}

function over(code, inMs) {
  if (inMs !== null) return status(`Connection lost; trying again in ${Math.max(1, Math.round(inMs / 1000))} s.`, true);
  stopWatching();
  const { token, memberToken: hadMember } = me;
  if (code === 4501 || code === 4502) drop(hadMember);
  sessionStorage.removeItem(KEY);
  me = {};
  if (code === 4501 && hadMember && token && !party.you) { // the place is gone, the invitation may be good
    remember({ token });
    show("join");
    return status("You left this party. You can join again.");
  }
  show("start");
  status(ENDS[code] ?? "The connection was closed.", true);
}

// --- what the server says ---------------------------------------------------------------------

const HEARD = {
  welcome(message) {
    remember({ memberToken: message.member_token });
    keep(message.member_token);
    party.you = message.you;
    party.role = message.role;
    party.precision = message.session_precision;
    party.clock = message.now - Date.now();
    party.members = new Map(message.members.map((member) => [member.m, member]));
    party.rows = new Map(message.positions.map((row) => [row[0], row]));
    status("");
    if (me.sharing && watching === null) startWatching();
    paint();
  },
  positions(message) {
    for (const row of message.p) party.rows.set(row[0], row);
    paint();
  },
  member(message) {
    if (message.state === "left") party.members.delete(message.m);
    else party.members.set(message.m, message);
    if (message.state === "left" || message.state === "private") party.rows.delete(message.m);
    paint();
  },
  precision(message) {
    if (COARSENESS[message.precision] > COARSENESS[party.precision]) party.rows.clear();
    party.precision = message.precision;
    paint();
  },
  policy(message) {
    status(message.hold ? "Positions are shown but not stored just now; this page keeps them." : "");
  },
  reject(message) {
    if (message.code === "future") status("This device's clock is ahead: its positions are refused.", true);
  },
  ended() { status("The party has ended."); },
};

// --- sharing ----------------------------------------------------------------------------------

function startWatching() {
  if (!navigator.geolocation || !window.isSecureContext) {
    remember({ sharing: false });
    return status("This browser gives no position here: the page must come over https.", true);
  }
  stream.say({ t: "share", precision: me.precision ?? "exact" });
  watching = navigator.geolocation.watchPosition(
    ({ coords, timestamp }) => {
      stream.offer({
        at: Math.round(timestamp), lat: coords.latitude, lon: coords.longitude,
        acc: coords.accuracy, spd: coords.speed, hdg: Number.isFinite(coords.heading) ? coords.heading : null,
      });
      if (located === false) status("");
      located = true;
      paint();
    },
    (error) => {
      if (error.code !== error.PERMISSION_DENIED) {
        located = false;
        return status("No position at the moment; waiting for one.", true);
      }
      stopSharing();
      status("You did not allow your position; you can watch all the same.", true);
    },
    { enableHighAccuracy: true, maximumAge: 1000 },
  );
  remember({ sharing: true });
}

function stopWatching() {
  if (watching !== null) navigator.geolocation.clearWatch(watching);
  watching = null;
}

function stopSharing() {
  stopWatching();
  stream.forget(); // what was not sent stays here
  remember({ sharing: false });
  stream.say({ t: "share", precision: "private" });
  paint();
}

at("share").onclick = () => {
  if (watching === null) startWatching();
  else stopSharing();
  paint();
};
at("own").onchange = () => {
  remember({ precision: at("own").value });
  if (watching !== null) stream.say({ t: "share", precision: me.precision });
  paint();
};
at("precision").onchange = () => stream.say({ t: "set_precision", precision: at("precision").value });
at("end").onclick = () => confirm("End the party for everybody?") && stream.say({ t: "end" });
at("leave").onclick = () => {
  stopWatching();
  stream.say({ t: "leave" });
  stream.stop();
  drop(me.memberToken);
  sessionStorage.removeItem(KEY);
  me = {};
  show("start");
  status("You left the party.");
};
at("copy").onclick = async () => {
  at("link").select();
  await navigator.clipboard?.writeText(me.link);
  status("The invitation is copied.");
};

// --- painting ---------------------------------------------------------------------------------

function ageText(row) {
  const seconds = Math.max(0, Math.round((Date.now() + party.clock - row[1]) / 1000));
  if (seconds < 90) return `${seconds} s ago`;
  return seconds < 5400 ? `${Math.round(seconds / 60)} min ago` : `${Math.round(seconds / 3600)} h ago`;
}

function stateText(member, row) {
  if (member.state === "private") return "is here, shows no position";
  const where = !row ? "no position yet" : cellSide(row) ? `in a square of ${lengthText(cellSide(row))}` : `within ${Math.round(row[4] ?? 0)} m`;
  if (member.state === "live") return `live, ${where}`;
  return member.state === "stale" ? `connected, nothing new; ${where}` : `not connected; ${where}`;
}

function item(member) {
  const row = party.rows.get(member.m);
  const parts = [
    ["sign", !row ? "○" : cellSide(row) ? "■" : "●"],
    ["name", member.name + (member.m === party.you ? " (you)" : "") + (member.role === "host" ? ", host" : "")],
    ["age", row ? ageText(row) : ""],
    ["state", stateText(member, row)],
  ];
  const li = document.createElement("li");
  for (const [name, text] of parts) {
    const span = li.appendChild(document.createElement("span"));
    span.className = name;
    span.textContent = text;
    if (name === "sign") {
      span.style.color = colour(member.m);
      span.ariaHidden = "true";
    }
  }
  return li;
}

let due = false;
function paint() { // at most once a frame
  if (due || !party) return;
  due = true;
  requestAnimationFrame(() => {
    due = false;
    const members = [...party.members.values()].sort((a, b) => a.m - b.m);
    const names = new Map(members.map((member) => [member.m, member.name]));
    const rows = [...party.rows.values()].filter((row) => names.has(row[0]));
    draw(at("map"), rows, names, party.you);
    at("map").setAttribute("aria-label", `Map of the party: ${rows.length} of ${members.length} have a position.`);
    at("members").replaceChildren(...members.map(item));
    at("share").textContent = watching === null ? "Share my position" : "Stop sharing";
    at("sharing").textContent = sharingText();
    at("host").hidden = party.role !== "host";
    at("precision").value = party.precision;
    at("invitation").hidden = !me.link;
    at("link").value = me.link ?? "";
  });
}

function sharingText() {
  if (watching === null) return "You only watch: nothing of your position leaves this device.";
  const shown = COARSENESS[party.precision] > COARSENESS[me.precision] ? party.precision : me.precision;
  const kept = stream.held.size > 20 ? ` ${stream.held.size} positions wait to be stored.` : "";
  return `Your position is shown ${WORDS[shown]}. Keep this page open.${kept}`;
}

setInterval(() => at("party").hidden || paint(), 1000); // ages
addEventListener("resize", paint);
addEventListener("hashchange", () => location.reload());
addEventListener("online", () => stream?.open());
begin();
