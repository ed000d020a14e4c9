// Who this browser is to a server: the newest member tokens that it was given, so that somebody without an
// account stays the same person from party to party. A new person each time would have a new mask each time,
// and whoever averages many masks finds the place. "Leave" makes a party's token dead, and it goes from here.

const KEY = "partyline.who";
const MOST = 8;

function tokens() {
  try {
    const found = JSON.parse(localStorage.getItem(KEY) ?? "[]");
    return Array.isArray(found) ? found.filter((token) => typeof token === "string") : [];
  } catch {
    return []; // nothing may be stored here
  }
}

function store(list) {
  try {
    localStorage.setItem(KEY, JSON.stringify(list.slice(0, MOST)));
  } catch { /* then each party sees somebody new */ }
}

export const known = () => tokens()[0] ?? "";

export const keep = (token) => store([token, ...tokens().filter((other) => other !== token)]);

export const drop = (token) => store(tokens().filter((other) => other !== token));

export async function asKnown(call) { // `call(headers)` is a fetch; a token that is dead is not tried again
  for (let token = known(); token; token = known()) {
    const answer = await call({ Authorization: `Bearer ${token}` });
    if (answer.status !== 401) return answer;
    drop(token);
  }
  return call({});
}
