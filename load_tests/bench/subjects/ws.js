// Node `ws`, minimal. /relay/N: every message goes to the others of party N at once. /tick/N: once a second
// what changed goes to all of party N, encoded once. Usage: node ws.js PORT
'use strict';
const { WebSocketServer } = require('ws');

const TICK_MS = 1000;
const parties = new Map();

function party(path) {
  let found = parties.get(path);
  if (!found) {
    found = { sockets: new Set(), changed: new Map() };
    parties.set(path, found);
    if (path.startsWith('/tick/')) found.timer = setInterval(() => tick(found), TICK_MS);
  }
  return found;
}

function tick(of) {
  if (!of.changed.size) return;
  const frame = JSON.stringify({ t: 'positions', p: [...of.changed.values()] });
  of.changed.clear();
  for (const socket of of.sockets) socket.send(frame);
}

const server = new WebSocketServer({ host: '127.0.0.1', port: Number(process.argv[2]), perMessageDeflate: false,
  backlog: 4096 });
server.on('connection', (socket, request) => {
  const path = request.url;
  const mine = party(path);
  const ticking = mine.timer !== undefined;
  mine.sockets.add(socket);
  socket.on('message', (data) => {
    if (ticking) {
      const { seq, at, lat, lon, acc } = JSON.parse(data);
      mine.changed.set(socket, { seq, at, lat, lon, acc });
    } else {
      for (const other of mine.sockets) if (other !== socket) other.send(data, { binary: false });
    }
  });
  socket.on('error', () => socket.terminate());
  socket.on('close', () => {
    mine.sockets.delete(socket);
    mine.changed.delete(socket);
    if (!mine.sockets.size) {
      clearInterval(mine.timer);
      parties.delete(path);
    }
  });
});
