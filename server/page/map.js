// Draws the party on a plain grid in metres, fitted to whoever has a position. It knows no tiles, no sockets.
// Equirectangular: metres = degrees × 111,320, longitudes × cos(latitude of the middle). Good to a few
// kilometres per hundred, which is what a party looks at.

const METRES_PER_DEGREE = 111_320;
const LEAST_SPAN_M = 200; // a party that stands together is not blown up beyond this
const ROUGH_ACCURACY_M = { 177: 250, 354: 500, 708: 1000, 1415: 2000, 2829: 4000 }; // half diagonal to side

export const colour = (m) => `hsl(${(m * 137.5) % 360} 65% 45%)`;

// The side of a rough member's cell in metres; 0 for an exact position. A rough one has the time of a whole
// minute, the accuracy of a cell, and neither speed nor heading.
export function cellSide([, at, , , acc, spd, hdg]) {
  return at % 60_000 === 0 && spd === null && hdg === null ? ROUGH_ACCURACY_M[acc] ?? 0 : 0;
}

export function lengthText(metres) {
  return metres >= 1000 ? `${metres / 1000} km` : `${metres} m`;
}

function niceStep(least) { // the next of 1, 2, 5, 10, …
  const ten = 10 ** Math.floor(Math.log10(least));
  return [1, 2, 5, 10].map((n) => n * ten).find((step) => step >= least);
}

// Rows to places in metres from the first one's meridian and the equator.
function project(rows) {
  const middle = rows.reduce((sum, row) => sum + row[2], 0) / rows.length;
  const squeeze = Math.max(Math.cos((middle * Math.PI) / 180), 0.01);
  return rows.map((row) => {
    const east = ((row[3] - rows[0][3] + 540) % 360) - 180; // the shorter way round
    const side = cellSide(row);
    const reach = side / 2 || Math.min(row[4] ?? 0, 100);
    return { row, side, reach, x: east * METRES_PER_DEGREE * squeeze, y: row[2] * METRES_PER_DEGREE };
  });
}

function fit(places, width, height) {
  const low = (axis) => Math.min(...places.map((place) => place[axis] - place.reach));
  const high = (axis) => Math.max(...places.map((place) => place[axis] + place.reach));
  const [x0, x1, y0, y1] = [low("x"), high("x"), low("y"), high("y")];
  const scale = Math.min((width * 0.8) / Math.max(x1 - x0, LEAST_SPAN_M), (height * 0.7) / Math.max(y1 - y0, LEAST_SPAN_M));
  const [cx, cy] = [(x0 + x1) / 2, (y0 + y1) / 2];
  return { scale, cx, cy, x: (m) => width / 2 + (m - cx) * scale, y: (m) => height / 2 - (m - cy) * scale };
}

export function draw(canvas, rows, names, you) {
  const { clientWidth: width, clientHeight: height } = canvas;
  const ratio = window.devicePixelRatio || 1;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  const pen = canvas.getContext("2d");
  pen.scale(ratio, ratio);
  const style = getComputedStyle(canvas);
  const [ink, faint, line] = ["--ink", "--faint", "--grid"].map((name) => style.getPropertyValue(name));
  pen.font = "13px system-ui, sans-serif";
  if (!rows.length) {
    pen.fillStyle = faint;
    pen.textAlign = "center";
    pen.fillText("Nobody's position is known yet.", width / 2, height / 2);
    return;
  }
  const places = project(rows);
  const view = fit(places, width, height);
  const step = niceStep(56 / view.scale);
  grid(pen, view, step, width, height, line);
  for (const place of places) mark(pen, view, place, ink, names, you);
  scaleBar(pen, step * view.scale, lengthText(step), height, ink);
}

function grid(pen, view, step, width, height, line) {
  pen.strokeStyle = line;
  pen.lineWidth = 1;
  pen.beginPath();
  const left = view.cx - width / 2 / view.scale;
  const bottom = view.cy - height / 2 / view.scale;
  for (let m = Math.ceil(left / step) * step; view.x(m) < width; m += step) {
    pen.moveTo(view.x(m), 0);
    pen.lineTo(view.x(m), height);
  }
  for (let m = Math.ceil(bottom / step) * step; view.y(m) > 0; m += step) {
    pen.moveTo(0, view.y(m));
    pen.lineTo(width, view.y(m));
  }
  pen.stroke();
}

function mark(pen, view, { row, side, x, y }, ink, names, you) {
  const [m, , , , acc, , hdg] = row;
  const [px, py] = [view.x(x), view.y(y)];
  pen.fillStyle = pen.strokeStyle = colour(m);
  pen.globalAlpha = 0.18;
  pen.beginPath();
  if (side) pen.rect(px - (side / 2) * view.scale, py - (side / 2) * view.scale, side * view.scale, side * view.scale);
  else pen.arc(px, py, (acc ?? 0) * view.scale, 0, 2 * Math.PI);
  pen.fill();
  pen.globalAlpha = 1;
  pen.lineWidth = side ? 2 : 1;
  pen.stroke();
  if (!side) {
    pen.beginPath();
    pen.arc(px, py, m === you ? 9 : 7, 0, 2 * Math.PI);
    pen.fill();
    if (hdg !== null) {
      const turn = (hdg * Math.PI) / 180;
      pen.lineWidth = 3;
      pen.beginPath();
      pen.moveTo(px, py);
      pen.lineTo(px + 16 * Math.sin(turn), py - 16 * Math.cos(turn));
      pen.stroke();
    }
  }
  pen.fillStyle = ink;
  pen.textAlign = "center";
  pen.fillText(m === you ? "you" : names.get(m) ?? "", px, side ? py + 4 : py - 13);
}

function scaleBar(pen, length, text, height, ink) {
  pen.strokeStyle = pen.fillStyle = ink;
  pen.lineWidth = 2;
  pen.beginPath();
  pen.moveTo(12, height - 18);
  pen.lineTo(12, height - 12);
  pen.lineTo(12 + length, height - 12);
  pen.lineTo(12 + length, height - 18);
  pen.stroke();
  pen.textAlign = "left";
  pen.fillText(text, 18, height - 18);
}
