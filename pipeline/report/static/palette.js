"use strict";
// Marks that differ in colour and in shape, and a ramp for numbers.
const SHAPES = [
  (p, x, y, r) => p.arc(x, y, r, 0, 2 * Math.PI),
  (p, x, y, r) => p.rect(x - r * 0.9, y - r * 0.9, 1.8 * r, 1.8 * r),
  (p, x, y, r) => polygon(p, x, y, r * 1.25, 3, -Math.PI / 2),
  (p, x, y, r) => polygon(p, x, y, r * 1.25, 4, -Math.PI / 2),
  (p, x, y, r) => polygon(p, x, y, r * 1.25, 3, Math.PI / 2),
  (p, x, y, r) => {
    p.rect(x - r * 1.2, y - r * 0.4, 2.4 * r, 0.8 * r);
    p.rect(x - r * 0.4, y - r * 1.2, 0.8 * r, 2.4 * r);
  },
];
const RAMP = ["#440154", "#46327e", "#365c8d", "#277f8e", "#1fa187", "#4ac16d", "#a0da39"];
const NOTHING = "#b5b5b5";

function polygon(path, x, y, radius, corners, turn) {
  for (let i = 0; i < corners; i += 1) {
    const angle = turn + (2 * Math.PI * i) / corners;
    path[i ? "lineTo" : "moveTo"](x + radius * Math.cos(angle), y + radius * Math.sin(angle));
  }
  path.closePath();
}

function ramp(share) {
  const at = Math.min(1, Math.max(0, share)) * (RAMP.length - 1);
  const low = Math.min(RAMP.length - 2, Math.floor(at));
  const channel = (hex, i) => parseInt(hex.slice(1 + 2 * i, 3 + 2 * i), 16);
  const mixed = [0, 1, 2].map((i) => Math.round(channel(RAMP[low], i) * (low + 1 - at) + channel(RAMP[low + 1], i) * (at - low)));
  return `rgb(${mixed.join(",")})`;
}

function markOf(column, code) {
  if (code < 0) return { colour: NOTHING, shape: 0 };
  const place = column.places ? column.places[code] : code;
  if (place < 0) return { colour: data.palette.grey, shape: 5 };
  return { colour: data.palette.colours[place % data.palette.colours.length], shape: place % SHAPES.length };
}
