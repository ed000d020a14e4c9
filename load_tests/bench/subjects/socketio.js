// socket.io with one room a party: every message goes to the others of the room at once.
// Usage: node socketio.js PORT
'use strict';
const { Server } = require('socket.io');

const HOUR_MS = 3600000; // no pings: the load client does not answer them
const server = require('http').createServer();
const io = new Server(server, { transports: ['websocket'], pingInterval: HOUR_MS, serveClient: false });
io.on('connection', (socket) => {
  const room = socket.handshake.query.party;
  socket.join(room);
  socket.on('fix', (fix) => socket.to(room).emit('fix', fix));
});
server.listen({ host: '127.0.0.1', port: Number(process.argv[2]), backlog: 4096 });
