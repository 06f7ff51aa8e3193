// Three planes on one canvas. Voxels count in the order of the screen: to the patient's left, back and feet.
// In scope: `data`, the numbers and images of one patient, and `brainsprite`, which cuts planes from a sprite.
const PLANES = [
  { name: "sagittal", across: 1, down: 2, letters: "APSI" },
  { name: "coronal", across: 0, down: 2, letters: "RLSI" },
  { name: "axial", across: 0, down: 1, letters: "RLAP" },
];
const TEXT = "#c3ccd5";
const CROSSHAIR = "#5690ca";
const BLACK = 0xff000000; // opaque, alpha in front

const viewer = document.getElementById("viewer");
const stage = viewer.querySelector(".viewer-stage");
const sheet = viewer.querySelector(".viewer-sheet");
const canvas = document.getElementById("viewer-planes");
const sprite = document.getElementById("viewer-sprite");
const opacity = document.getElementById("viewer-opacity");
const sliders = [...viewer.querySelectorAll("[data-axis]")];
const [X, Y, Z] = data.size;
const images = {};
let voxel = data.start;
let brain, differences, marks, backgrounds, overlay; // undefined until the images are decoded

window.fpganViewer = {
  goTo(right, anterior, superior) {
    moveTo(apply(data.toVoxel, [right, anterior, superior]));
  },
  positionMm: () => apply(data.toWorld, voxel),
};
listen();
moveTo(voxel);
start();

async function start() {
  for (const [name, source] of Object.entries(data.images)) {
    images[name] = new Image();
    images[name].src = source;
  }
  await Promise.all(Object.values(images).map((image) => image.decode()));
  differences = levels(images.difference);
  marks = levels(images.marks);
  backgrounds = { input: cut(images.input), healthy: cut(images.healthy) };
  overlay = colored(differences);
  sprite.width = overlay.width;
  sprite.height = overlay.height;
  brain = brainsprite({ canvas: canvas.id, sprite: sprite.id, nbSlice: { X, Y, Z }, smooth: true, showLR: false });
  const drawPlane = brain.draw;
  brain.draw = (slice, plane) => {
    brain.context.save();
    if (plane === "Z") brain.context.transform(1, 0, 0, -1, 0, canvas.height); // its second axis points up there
    drawPlane(slice, plane);
    brain.context.restore();
  };
  compose();
  new ResizeObserver(fit).observe(stage);
  moveTo(voxel);
  viewer.setAttribute("aria-busy", "false");
}

function listen() {
  const aspect = (Y + 2 * X) / Math.max(Y, Z);
  stage.style.aspectRatio = aspect;
  stage.style.maxWidth = `${36 * aspect}rem`; // no higher than a screen
  sliders.forEach((slider, axis) => {
    slider.max = data.size[axis] - 1;
    slider.addEventListener("input", () => {
      moveTo(voxel.map((v, a) => (a === axis ? reversed(axis, Number(slider.value)) : v)));
    });
  });
  // A mouse drags; a finger taps, for its drags scroll the page.
  stage.addEventListener("pointerdown", (event) => {
    if (event.pointerType !== "touch" && event.button === 0) stage.setPointerCapture(event.pointerId);
  });
  stage.addEventListener("pointermove", (event) => {
    if (stage.hasPointerCapture(event.pointerId) && event.pointerType !== "touch") point(event);
  });
  stage.addEventListener("click", point);
  opacity.addEventListener("input", compose);
  for (const input of viewer.querySelectorAll("[type=radio]")) input.addEventListener("change", compose);
  for (const input of viewer.querySelectorAll("[type=checkbox]")) input.addEventListener("change", draw);
}

function moveTo(place) {
  voxel = place.map((v, axis) => Math.min(Math.max(Math.round(v), 0), data.size[axis] - 1));
  const position = window.fpganViewer.positionMm();
  sliders.forEach((slider, axis) => {
    // A world coordinate below zero is not always a side of the patient, so signs are no letters.
    const text = `${"RAS"[axis]} ${position[axis].toFixed(1).replace("-", "−")} mm`;
    slider.value = reversed(axis, voxel[axis]);
    slider.setAttribute("aria-valuetext", text);
    document.getElementById(`viewer-axis-${axis}`).textContent = text;
  });
  if (brain) document.getElementById("viewer-difference").textContent = signed(differenceAt(voxel));
  draw();
}

function point(event) {
  if (!brain) return;
  const [x, y] = [event.offsetX * window.devicePixelRatio, event.offsetY * window.devicePixelRatio];
  const plane = frames().findLast((frame) => x >= frame.left);
  if (!plane) return; // dragged out at the left
  const place = [...voxel];
  place[plane.across] = Math.floor((x - plane.left) / plane.pixelWidth);
  place[plane.down] = Math.floor((y - plane.top) / plane.pixelHeight);
  moveTo(place);
}

// The canvas is as wide as its parent, here in pixels of the device, so that lines and letters are sharp.
function fit() {
  sheet.style.width = `${Math.floor(stage.clientWidth * window.devicePixelRatio)}px`;
  sheet.style.transform = `scale(${1 / window.devicePixelRatio})`;
  brain.resize();
  draw();
}

function compose() {
  if (!brain) return;
  const context = sprite.getContext("2d");
  context.globalAlpha = 1;
  context.drawImage(backgrounds[viewer.querySelector("[type=radio]:checked").value], 0, 0);
  context.globalAlpha = opacity.value / 100;
  context.drawImage(overlay, 0, 0);
  viewer.querySelector(".viewer-scale i").style.opacity = context.globalAlpha;
  brain.init(); // takes the sprite over
  draw();
}

function draw() {
  if (!brain) return;
  brain.numSlice = { X: voxel[0], Y: voxel[1], Z: Z - 1 - voxel[2] };
  brain.drawAll();
  for (const frame of frames()) {
    for (const [name, [bit, color]] of Object.entries(data.outlines)) {
      if (document.getElementById(`viewer-${name}`)?.checked) drawOutlines(frame, bit, color);
    }
    drawCrosshair(frame);
    drawLetters(frame);
  }
}

function frames() {
  const lefts = { X: 0, Y: brain.widthCanvas.X, Z: brain.widthCanvas.X + brain.widthCanvas.Y };
  return ["X", "Y", "Z"].map((key, index) => {
    const [plane, width, height] = [PLANES[index], brain.widthCanvas[key], brain.heightCanvas[key]];
    const [left, top] = [lefts[key], (brain.heightCanvas.max - height) / 2];
    const pixelWidth = width / data.size[plane.across];
    const pixelHeight = height / data.size[plane.down];
    return { ...plane, left, top, width, height, pixelWidth, pixelHeight };
  });
}

function drawOutlines(frame, bit, color) {
  const context = brain.context;
  const line = 1.5 * window.devicePixelRatio;
  const place = [...voxel];
  const inside = (column, row) => {
    place[frame.across] = column;
    place[frame.down] = row;
    return (marks[offsetOf(place)] & bit) > 0;
  };
  context.save();
  context.translate(frame.left, frame.top);
  context.beginPath();
  for (const loop of traced(inside, data.size[frame.across], data.size[frame.down])) {
    loop.forEach(([column, row], index) => {
      context[index ? "lineTo" : "moveTo"](column * frame.pixelWidth, row * frame.pixelHeight);
    });
    context.closePath();
  }
  context.lineWidth = line;
  context.strokeStyle = color;
  if (bit === 2) context.setLineDash([3 * line, 2 * line]);
  context.stroke();
  context.restore();
}

// Closed outlines of the pixels inside, each a list of the middles of pixel edges, walked with the inside at the right.
function traced(inside, columns, rows) {
  const ends = new Map(); // of edges, by the corner where they start; corners are numbered row by row
  const corner = (column, row) => row * (columns + 1) + column;
  const add = (start, end) => ends.set(start, [...(ends.get(start) ?? []), end]);
  const isIn = (c, r) => c >= 0 && r >= 0 && c < columns && r < rows && inside(c, r);
  for (let r = 0; r < rows; r++) {
    for (let c = 0; c < columns; c++) {
      if (!inside(c, r)) continue;
      if (!isIn(c, r - 1)) add(corner(c, r), corner(c + 1, r));
      if (!isIn(c + 1, r)) add(corner(c + 1, r), corner(c + 1, r + 1));
      if (!isIn(c, r + 1)) add(corner(c + 1, r + 1), corner(c, r + 1));
      if (!isIn(c - 1, r)) add(corner(c, r + 1), corner(c, r));
    }
  }
  const loops = [];
  for (const first of ends.keys()) {
    while (ends.get(first).length) {
      const loop = [];
      let start = first;
      do {
        const end = ends.get(start).pop();
        const [startRow, endRow] = [start, end].map((number) => Math.floor(number / (columns + 1)));
        loop.push([((start + end) - (startRow + endRow) * (columns + 1)) / 2, (startRow + endRow) / 2]);
        start = end;
      } while (start !== first);
      loops.push(loop);
    }
  }
  return loops;
}

function drawCrosshair({ left, top, width, height, pixelWidth, pixelHeight, across, down }) {
  const context = brain.context;
  const line = Math.max(1, Math.round(window.devicePixelRatio));
  const gap = 7 * line; // what is pointed at stays free
  const x = Math.floor(left + (voxel[across] + 0.5) * pixelWidth - line / 2);
  const y = Math.floor(top + (voxel[down] + 0.5) * pixelHeight - line / 2);
  context.fillStyle = CROSSHAIR;
  for (const [from, to] of [[left, x - gap], [x + line + gap, left + width]]) {
    if (to > from) context.fillRect(from, y, to - from, line);
  }
  for (const [from, to] of [[top, y - gap], [y + line + gap, top + height]]) {
    if (to > from) context.fillRect(x, from, line, to - from);
  }
}

function drawLetters({ name, letters, left, top, width, height, pixelWidth }) {
  const context = brain.context;
  const ratio = window.devicePixelRatio;
  const write = (text, x, y, align, baseline) => {
    context.textAlign = align;
    context.textBaseline = baseline;
    context.strokeText(text, x, y);
    context.fillText(text, x, y);
  };
  const edge = 4 * ratio;
  context.fillStyle = TEXT;
  context.strokeStyle = "#000000"; // letters stay readable over bright voxels
  context.lineWidth = 3 * ratio;
  context.lineJoin = "round";
  context.font = `600 ${12 * ratio}px system-ui, sans-serif`;
  if (data.anatomy) {
    write(letters[0], left + edge, top + height / 2, "left", "middle");
    write(letters[1], left + width - edge, top + height / 2, "right", "middle");
    write(letters[2], left + width / 2, top + edge, "center", "top");
    write(letters[3], left + width / 2, top + height - edge, "center", "bottom");
  }
  context.font = `${11 * ratio}px system-ui, sans-serif`;
  if (data.anatomy) write(name, left + 2 * edge, edge, "left", "top");
  const lengthMm = barMm(0.3 * Math.min(X, Y) * data.voxelMm);
  const length = (lengthMm / data.voxelMm) * pixelWidth;
  const bottom = canvas.height - 1.5 * edge;
  context.fillRect(left + 2 * edge, bottom, length, 1.5 * ratio);
  write(`${lengthMm} ${data.anatomy ? "mm" : "px"}`, left + 2 * edge, bottom - edge / 2, "left", "bottom");
}

// The longest of 1, 2, 5, 10, 20, 50 … that is not longer.
function barMm(longest) {
  const power = 10 ** Math.floor(Math.log10(longest));
  return Number(([5, 2, 1].find((factor) => factor * power <= longest) * power).toPrecision(1));
}

function colored(values) {
  const context = copied(images.difference);
  const picture = context.createImageData(context.canvas.width, context.canvas.height);
  const colors = new Uint32Array(new Uint8Array(data.colors).buffer);
  const target = new Uint32Array(picture.data.buffer);
  for (let index = 0; index < values.length; index++) target[index] = colors[values[index]];
  context.putImageData(picture, 0, 0);
  return context.canvas;
}

// An image without the traces that compression leaves around the patient.
function cut(image) {
  const context = copied(image);
  const picture = context.getImageData(0, 0, image.width, image.height);
  const target = new Uint32Array(picture.data.buffer);
  for (let index = 0; index < marks.length; index++) if (!(marks[index] & data.around)) target[index] = BLACK;
  context.putImageData(picture, 0, 0);
  return context.canvas;
}

function levels(image) {
  const { data: bytes } = copied(image).getImageData(0, 0, image.width, image.height);
  const values = new Uint8Array(bytes.length / 4);
  for (let index = 0; index < values.length; index++) values[index] = bytes[4 * index];
  return values;
}

function copied(image) {
  const layer = document.createElement("canvas");
  layer.width = image.width;
  layer.height = image.height;
  const context = layer.getContext("2d", { willReadFrequently: true });
  context.drawImage(image, 0, 0);
  return context;
}

// Where a voxel lies in the sprite, row by row.
function offsetOf([x, y, z]) {
  const columns = images.difference.width / Y;
  return (Math.floor(x / columns) * Z + z) * images.difference.width + (x % columns) * Y + y;
}

function differenceAt(place) {
  return ((differences[offsetOf(place)] - 127) / 127) * data.limit;
}

// Sliders end at the letters beside them: the second and third run against the screen.
function reversed(axis, index) {
  return axis === 0 ? index : data.size[axis] - 1 - index;
}

function apply(matrix, [x, y, z]) {
  return matrix.map((row) => row[0] * x + row[1] * y + row[2] * z + row[3]);
}

function signed(value) {
  const digits = Math.abs(value).toFixed(2);
  return Number(digits) === 0 ? digits : (value < 0 ? "−" : "+") + digits;
}
