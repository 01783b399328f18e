// Lists of URLs: read from lines or CSV, and written as CSV. Nothing here knows the page.

const LONGEST_LINE = 65_536;
const URL_COLUMNS = /^\s*(?:urls?|links?|address|addresses|text|uri|domain|host)\s*$/i;
// Spreadsheets skip blanks in front of a formula, and some take its wide signs too.
const FORMULA = /^[\s\p{Cf}]*[=+\-@\uff1d\uff0b\uff0d\uff20]|^[\t\r\n]/u;

// The lines that are not blank; a file may have hundreds of millions that are.
function linesOf(text) {
  const lines = [];
  for (const [line] of text.matchAll(/[^\r\n]+/g)) if (line.trim() !== "") lines.push(line);
  return lines;
}

// The end and the content of a field in quotes that begins at `at`; "" within it is one quote.
function quotedField(text, at) {
  let field = "";
  for (;;) {
    const end = text.indexOf('"', at);
    if (end < 0) return [text.length, field + text.slice(at)];
    field += text.slice(at, end);
    if (text[end + 1] !== '"') return [end + 1, field];
    field += '"';
    at = end + 2;
  }
}

// Yields the rows of a CSV as lists of fields, empty rows left out.
function* csvRows(text, delimiter) {
  const ends = new RegExp(`[${delimiter === "\t" ? "\\t" : delimiter}\\r\\n]`, "g");
  let row = [];
  for (let at = 0; at < text.length; ) {
    let field = "";
    if (text[at] === '"') [at, field] = quotedField(text, at + 1);
    ends.lastIndex = at;
    const end = ends.exec(text)?.index ?? text.length;
    row.push(field + text.slice(at, end));
    at = end + 1;
    if (text[end] === delimiter && at < text.length) continue;
    if (text[end] === delimiter) row.push(""); // the text ends behind it
    if (row.length > 1 || row[0] !== "") yield row;
    row = [];
  }
}

// The sign that cuts the first line into most fields.
function delimiterOf(text) {
  const [first] = text.slice(0, LONGEST_LINE).split(/[\r\n]/, 1);
  const count = (sign) => first.split(sign).length;
  return [",", ";", "\t"].reduce((best, sign) => (count(sign) > count(best) ? sign : best));
}

// Which column of a CSV's first row looks like URLs or is named so, and whether that row is names.
function guessed(first) {
  const named = first.findIndex((cell) => URL_COLUMNS.test(cell));
  if (named >= 0) return { column: named, names: true };
  return { column: Math.max(0, first.findIndex((cell) => /[./]/.test(cell))), names: false };
}

// A cell that no spreadsheet takes for a formula.
function csvCell(text) {
  const safe = FORMULA.test(text) ? "'" + text : text;
  return /[",;\t\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

const csvLine = (cells) => cells.map(csvCell).join(",") + "\r\n";
