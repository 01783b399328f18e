// The page itself. What the user enters becomes text nodes alone, never markup and never a link.

const data = JSON.parse(document.getElementById("data").textContent);
const { settings, about } = data;
const [negative, positive] = settings.labels;
const ROWS_AT_ONCE = 100;
const SLICE_MS = 30; // computed at once, before the page gets a turn
const LARGEST_PASTE = 200_000; // what is longer is kept beside the text field, which it would stall
const LARGEST_FILE = 256 * 2 ** 20;
const SHOWN_SIGNS = 300;

const $ = (id) => document.getElementById(id);
const show = (id, shown) => ($(id).hidden = !shown);
const counted = (count) => count.toLocaleString("en");
const urlsWord = (count) => `${counted(count)} URL${count === 1 ? "" : "s"}`;
const percent = (share) => `${(100 * share).toFixed(1)} %`;

let classifier = null;
let source = null; // a file or a long paste: { name, text, delimiter }, null where it is lines
let result = { texts: [], margins: new Float64Array(0), done: 0 };
let order = []; // the rows that the table may show, in its order
let threshold = settings.threshold; // a margin
let run = 0; // the number of the last run: an older one stops

function element(name, className, text) {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

function trouble(text) {
  $("trouble").textContent = text;
  $("trouble").classList.remove("loading");
  show("trouble", text !== "");
}

// --- What is asked about -------------------------------------------------------------------------

// Lets the page draw and answer; unlike a timer's, its turns come at full speed in a hidden tab.
const channel = new MessageChannel();
const turns = [];
channel.port1.onmessage = () => turns.shift()();
const turn = () =>
  new Promise((resolve) => {
    turns.push(resolve);
    channel.port2.postMessage(null);
  });

function setSource(name, text, isTable) {
  const delimiter = isTable ? delimiterOf(text) : null;
  const first = isTable ? (csvRows(text.slice(0, LONGEST_LINE), delimiter).next().value ?? []) : [];
  source = { name, text, delimiter };
  $("source-name").textContent = name;
  show("source", true);
  show("column-label", first.length > 1);
  show("names-label", isTable);
  const guess = guessed(first);
  $("column").replaceChildren(
    ...first.map((cell, place) => {
      const option = element("option", "", visible(cell, 40) || `${place + 1}`);
      option.value = String(place);
      return option;
    }),
  );
  $("column").value = String(guess.column);
  $("names").checked = guess.names;
  $("urls").disabled = true;
  $("classify").focus();
}

function discardSource() {
  source = null;
  show("source", false);
  $("urls").disabled = false;
  $("file").value = "";
  $("urls").focus();
}

async function open(file) {
  try {
    await readFile(file);
  } catch (error) {
    trouble(`${visible(file.name, 60)} cannot be read. ${error.message}`);
  }
}

async function readFile(file) {
  if (file.size > LARGEST_FILE)
    return trouble(`${visible(file.name, 60)} is larger than 256 MB: use minnow classify.`);
  const bytes = await file.arrayBuffer();
  const mark = new Uint8Array(bytes.slice(0, 2)).join();
  const encoding = { "255,254": "utf-16le", "254,255": "utf-16be" }[mark] ?? "utf-8";
  const text = new TextDecoder(encoding).decode(bytes);
  trouble("");
  const megabytes = (file.size / 1e6).toFixed(file.size < 1e6 ? 3 : 1);
  setSource(`${visible(file.name, 60)}, ${megabytes} MB`, text, /\.(csv|tsv)$/i.test(file.name));
}

async function askedTexts() {
  if (source === null) return linesOf($("urls").value);
  if (source.delimiter === null) return linesOf(source.text);
  const texts = [];
  const column = Number($("column").value);
  let place = $("names").checked ? -1 : 0;
  for (const row of csvRows(source.text, source.delimiter)) {
    if (place >= 0 && (row[column] ?? "").trim() !== "") texts.push(row[column]);
    if (++place % 20_000 === 0) await turn();
  }
  return texts;
}

// --- Classifying ---------------------------------------------------------------------------------

async function classify() {
  try {
    await classifyAsked();
  } catch (error) {
    show("running", false);
    trouble(`The URLs cannot be classified. ${error.message}`);
  }
}

async function classifyAsked() {
  const mine = ++run;
  const texts = await askedTexts();
  if (mine !== run) return;
  if (texts.length === 0) return trouble("Enter a URL, one a line, or open a file.");
  trouble("");
  result = { texts, margins: new Float64Array(texts.length), done: 0 };
  $("rows").replaceChildren();
  show("running", true);
  show("results", false);
  $("said").textContent = `Classifying ${urlsWord(texts.length)}.`;
  await classifyAll(mine);
  if (mine === run) finish();
}

async function classifyAll(mine) {
  const { texts, margins } = result;
  const began = performance.now();
  let [sliced, told] = [began, -Infinity];
  for (let place = 0; place < texts.length; place++) {
    const tooLong = texts[place].length > LONGEST_LINE;
    margins[place] = tooLong ? NaN : classifier.margin(texts[place]);
    result.done = place + 1;
    const now = performance.now();
    if (now - sliced < SLICE_MS) continue;
    if (now - told > 250) tellProgress((now - began) / 1000);
    if (now - told > 250) told = now;
    await turn();
    if (mine !== run) return;
    sliced = performance.now();
  }
}

function tellProgress(seconds) {
  const { texts, done } = result;
  const rate = done / seconds;
  const left = Math.ceil((texts.length - done) / rate);
  const time = left < 90 ? `${left} s` : `${Math.ceil(left / 60)} min`;
  $("progress").max = texts.length;
  $("progress").value = done;
  $("rate").textContent =
    `${counted(done)} of ${urlsWord(texts.length)}, ${counted(Math.round(rate))} a second, ` +
    `${time} left`;
}

// Shows what there is: all of it, or what was done when the user stopped.
function finish() {
  run++;
  show("running", false);
  show("results", true);
  refresh();
  $("said").textContent = $("summary").textContent;
  $("results-title").focus({ preventScroll: true });
  $("results").scrollIntoView({ block: "nearest" });
}

// --- Results -------------------------------------------------------------------------------------

const isPositive = (place) => result.margins[place] > threshold;
const isRead = (place) => !Number.isNaN(result.margins[place]);

function labelOf(place) {
  if (!isRead(place)) return "too long";
  return isPositive(place) ? positive : negative;
}

// A text whose invisible and direction signs show, its middle left out beyond `most` signs.
function visible(text, most) {
  const start = text.length > 4 * most ? text.slice(0, 2 * most) + text.slice(-2 * most) : text;
  const signs = Array.from(start.replace(INVISIBLE, "\ufffd"));
  if (signs.length <= most) return signs.join("");
  const tail = Math.floor(most / 4);
  return signs.slice(0, most - tail - 1).join("") + "…" + signs.slice(-tail).join("");
}

function tableCell(className, ...contents) {
  const cell = element("td", className);
  cell.setAttribute("role", "cell");
  cell.append(...contents);
  return cell;
}

function probabilityCell(place) {
  if (!isRead(place)) return tableCell("probability", "–");
  const probability = classifier.probability(result.margins[place]);
  const bar = element("span", "bar");
  const filled = element("i");
  filled.style.width = `${100 * probability}%`;
  bar.append(filled);
  return tableCell("probability", element("span", "share", percent(probability)), bar);
}

function tableRow(place) {
  const row = element("tr", !isRead(place) ? "unread" : isPositive(place) ? "positive" : "");
  row.setAttribute("role", "row");
  row.append(
    tableCell("url", visible(result.texts[place], SHOWN_SIGNS)),
    probabilityCell(place),
    tableCell("", element("span", "label", labelOf(place))),
  );
  return row;
}

function showMore() {
  const from = $("rows").childElementCount;
  $("rows").append(...order.slice(from, from + ROWS_AT_ONCE).map(tableRow));
  const left = order.length - $("rows").childElementCount;
  show("more", left > 0);
  $("more").textContent = `Show ${counted(Math.min(left, ROWS_AT_ONCE))} more of ${counted(left)}`;
}

function refresh() {
  order = Array.from({ length: result.done }, (_, place) => place);
  const found = order.filter(isPositive).length;
  const unread = order.filter((place) => !isRead(place)).length;
  if ($("only").checked) order = order.filter(isPositive);
  const rank = (place) => (isRead(place) ? result.margins[place] : -Infinity);
  if ($("sorted").checked) order.sort((a, b) => rank(b) - rank(a) || a - b);
  $("summary").textContent =
    `${counted(found)} of ${urlsWord(result.done)} called ${positive}.` +
    (result.done < result.texts.length
      ? ` Stopped before the other ${counted(result.texts.length - result.done)}.`
      : "") +
    (unread ? ` ${counted(unread)} too long to be read.` : "");
  $("rows").replaceChildren();
  showMore();
}

function showThreshold() {
  const probability = classifier.probability(threshold);
  $("threshold").value = String(100 * probability);
  $("threshold").setAttribute("aria-valuetext", percent(probability));
  $("threshold-shown").textContent = percent(probability);
  show("reset", threshold !== settings.threshold);
}

function chooseThreshold(margin) {
  threshold = margin;
  showThreshold();
  refresh();
}

// The margin of a probability; ends are below and above every margin.
const marginOf = (probability) =>
  settings.temperature * Math.log(probability / (1 - probability));

// The results as parts of a file, so that none of them is a string of hundreds of megabytes.
function csvParts() {
  const parts = [csvLine(["url", "probability", "label"])];
  for (let from = 0; from < result.done; from += 10_000) {
    let part = "";
    for (let place = from; place < Math.min(result.done, from + 10_000); place++) {
      const probability = isRead(place)
        ? classifier.probability(result.margins[place]).toFixed(6)
        : "";
      part += csvLine([result.texts[place], probability, labelOf(place)]);
    }
    parts.push(part);
  }
  return parts;
}

function download() {
  const link = element("a");
  link.href = URL.createObjectURL(new Blob(csvParts(), { type: "text/csv;charset=utf-8" }));
  link.download = "minnow-results.csv";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

// --- The page ------------------------------------------------------------------------------------

function describe() {
  document.querySelectorAll(".positive-name").forEach((each) => (each.textContent = positive));
  $("model-line").textContent = about.line;
  show("synthetic", about.synthetic);
  for (const [name, value] of about.facts)
    $("facts").append(element("dt", "", name), element("dd", "", value));
  $("limits").append(...about.limits.map((limit) => element("li", "", limit)));
}

function listen() {
  const on = (id, event, handler) => $(id).addEventListener(event, handler);
  on("ask", "submit", (event) => {
    event.preventDefault();
    if (!$("classify").disabled) classify();
  });
  on("urls", "keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) $("ask").requestSubmit();
  });
  on("urls", "paste", (event) => {
    const text = event.clipboardData.getData("text/plain");
    if (text.length <= LARGEST_PASTE) return;
    event.preventDefault();
    setSource(`Pasted text, ${counted(linesOf(text).length)} lines`, text, false);
  });
  on("open", "click", () => $("file").click());
  on("file", "change", () => $("file").files.length && open($("file").files[0]));
  on("discard", "click", discardSource);
  on("stop", "click", finish);
  on("more", "click", showMore);
  on("download", "click", download);
  on("only", "change", refresh);
  on("sorted", "change", refresh);
  on("threshold", "input", () => chooseThreshold(marginOf($("threshold").value / 100)));
  on("reset", "click", () => chooseThreshold(settings.threshold));
  listenToDrops();
}

function listenToDrops() {
  const on = (event, handler) =>
    document.addEventListener(event, (found) => {
      found.preventDefault();
      handler(found);
    });
  on("dragover", () => document.body.classList.add("dropping"));
  document.addEventListener("dragleave", () => document.body.classList.remove("dropping"));
  on("drop", (event) => {
    document.body.classList.remove("dropping");
    const { files } = event.dataTransfer;
    const text = event.dataTransfer.getData("text/plain");
    if (files.length) open(files[0]);
    else if (text) setSource(`Dropped text, ${counted(linesOf(text).length)} lines`, text, false);
  });
}

async function start() {
  describe();
  listen();
  try {
    const { instance } = await WebAssembly.instantiate(bytesOfBase64(data.kernel), {});
    classifier = new Classifier(data, instance.exports);
  } catch (error) {
    if (!(error instanceof WebAssembly.CompileError)) trouble(`The model cannot run. ${error.message}`);
    return; // an old browser's reason stands there already
  }
  showThreshold();
  trouble("");
  $("classify").disabled = false;
}

start();
