// How a text is cleaned: what src/minnow/text/cleaning.py does, step by step and name by name.
// Where Python writes *+ or ++, plain * and + match the same here: what follows never begins with
// what they repeat. Python counts characters and JavaScript UTF-16 units: `lengthOf` and `headOf`
// count as Python does.

const INVISIBLE = new RegExp(
  "[\\0-\\x1f\\x7f-\\x9f\\xad\\u0600-\\u0605\\u061c\\u06dd\\u070f\\u0890\\u0891\\u08e2\\u180e" +
    "\\u200b-\\u200f\\u202a-\\u202e\\u2060-\\u2064\\u2066-\\u206f\\ud800-\\udfff\\ufeff" +
    "\\ufff9-\\ufffb\\u{110bd}\\u{110cd}\\u{13430}-\\u{1343f}\\u{1bca0}-\\u{1bca3}" +
    "\\u{1d173}-\\u{1d17a}\\u{e0001}\\u{e0020}-\\u{e007f}]+",
  "gu",
);
const BLANKS =
  " \t\n\r\x0b\x0c\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a" +
  "\u2028\u2029\u202f\u205f\u3000";
const ENDS = BLANKS + "'\"`\u2018\u2019\u201c\u201d\xab\xbb";
const AMPERSANDS = /&(?:(?:amp|AMP|#0*38|#[xX]0*26);)+/g;
const NUMBER = /^#(?:0*([0-9]{1,7})|[xX]0*([0-9A-Fa-f]{1,6}))$/;
const TOO_LARGE = /^#(?:[0-9]+|[xX][0-9A-Fa-f]+)$/;
const ROUNDS = 4;
const MOST_ESCAPES = 10_000;
const OPEN = "[\\[({<]";
const CLOSED = "[\\])}>]";
const EITHER = "[\\[\\](){}<>]";
const ODD = `(?!http)h(?:\\.{2,3}|${EITHER}*(?:[tx*_+#~^@%-]${EITHER}*){2,3})p`;
const KNOWN = "http|xxxx|meow|f[tx*_]p";
const SECURE = `${CLOSED}*(?:_?${OPEN}?s${CLOSED}*)?`;
const SLASHES = `[\\\\^/]{1,3}(?:${EITHER}*[\\\\^/]{1,3})?`;
const AFTER_ODD = `(?:[ ]?${OPEN}*:${EITHER}*[ ]?${SLASHES}|//)${CLOSED}*`;
const AFTER_KNOWN = `[ ]?${OPEN}*:${EITHER}*[ ]?[\\\\^]?/${EITHER}*[\\\\^]?/${CLOSED}*`;
const BENT = `(?:${ODD}${SECURE}${AFTER_ODD}|(?:${KNOWN})${SECURE}${AFTER_KNOWN})`;
const ALTERED = `${OPEN}*${BENT}`;
const ANY = "[A-Za-z][A-Za-z0-9+-]*://";
const SCHEMES = new RegExp(`(?<!${OPEN})(?<altered>${ALTERED})|${ANY}`, "gi");
// One piece of what Python's FRONT repeats: a loop of ours cannot run out of the engine's stack.
const FRONT_PIECE = new RegExp(`[${ENDS}<]+|${ANY}|${ALTERED}`, "iy");
const INNER = new RegExp(`(?<!\\w)(?<altered>${BENT})`, "gi");
const LONGEST = 2_000;
const NEAR = 2 * LONGEST;
const HOST_ENDS = /[/?#]/;
const SIGNS = /[\][(){}<>\\^ ]/;
const BRACKETED_SOURCE =
  `[ ]?${OPEN}(?<!${OPEN}${OPEN})(?<!${OPEN}[ ]${OPEN})[ ]?(?:${OPEN}[ ]?)*` +
  "(?<mark>[.,:@\\u3002\\uff0e\\uff61]|%2e|dot|point|ponto|punto|punkt|at|:?(?:\\\\?/){1,2})" +
  `(?:[ ]?${CLOSED})+[ ]?`;
const BRACKETED = new RegExp(BRACKETED_SOURCE, "i");
const EACH_BRACKETED = new RegExp(BRACKETED_SOURCE, "gi");
const HALF_BRACKETED_SOURCE = `${OPEN}(?<!${OPEN}${OPEN})${OPEN}*\\.${CLOSED}*|\\.${CLOSED}+`;
const HALF_BRACKETED = new RegExp(HALF_BRACKETED_SOURCE);
const EACH_HALF_BRACKETED = new RegExp(HALF_BRACKETED_SOURCE, "g");
const DOT_IN_WORDS = / (?:dot|punto|punkt) /i;
const EACH_DOT_IN_WORDS = / (?:dot|punto|punkt) /gi;
const LETTER = "[\\p{L}\\p{N}_]"; // Python's \w
const DOT_IN_BLANKS = new RegExp(`(?<=${LETTER}) \\. (?=${LETTER})`, "u");
const EACH_DOT_IN_BLANKS = new RegExp(DOT_IN_BLANKS.source, "gu");
const FIRST_DOT_ESCAPED = /^[^.\\^]*[\\^]+\./;
const ESCAPED = /[\\^](?<![\\^]{2})[\\^]*(?=[./])/g;
const IPV6 = /\[[0-9a-f.]*:[0-9a-f:.]*\]/i;
const D_FOR_DOT = new RegExp(`(?<=${LETTER})${OPEN}+[dD]${CLOSED}+(?=${LETTER})`, "gu");
const UNKNOWN_WORD = new RegExp(`(?<=${LETTER})${OPEN}+${LETTER}+${CLOSED}+(?=${LETTER})`, "u");
const WIDE =
  "\uff3b\uff3d\uff08\uff09\uff5b\uff5d\uff1c\uff1e\u3010\u3011\u3014\u3015\uff1a\uff0f\uff3c";
const NARROW = "[](){}<>[][]:/\\";
const PERCENT_BRACKET = /%5(?:(b)|d)/gi;
const BEFORE_BRACKET = new RegExp(`(?<![\\\\^])[\\\\^]+(?=(${EITHER}|:))`, "g");
const BRACKETS = new RegExp(EITHER, "g");
const NOTHING_LEFT = new RegExp(`[\\[\\](){}<>\\\\^:&/%${WIDE}]`, "g");

function lengthOf(text) {
  let pairs = 0;
  for (let i = 0; i < text.length; i++) if ((text.charCodeAt(i) & 0xfc00) === 0xd800) pairs++;
  return text.length - pairs; // no half of a pair is left by now
}

// The units of a text's first `count` characters.
function unitsOf(text, count) {
  let units = 0;
  for (; count > 0 && units < text.length; count--) units += text.codePointAt(units) > 0xffff ? 2 : 1;
  return units;
}

function parted(text, count) {
  const units = unitsOf(text, count);
  return [text.slice(0, units), text.slice(units)];
}

function trimmed(text, ends) {
  let from = 0;
  while (from < text.length && ends.includes(text[from])) from++;
  return trimmedEnd(text.slice(from), ends);
}

function trimmedEnd(text, ends) {
  let to = text.length;
  while (to > 0 && ends.includes(text[to - 1])) to--;
  return text.slice(0, to);
}

const countOf = (text, sign) => text.split(sign).length - 1;

const withoutUndecodable = (text) => text.replaceAll("\ufffd", "");
const withoutControls = (text) => text.replace(INVISIBLE, "");

// Resolves HTML escapes. `names` are those that HTML knows, without the semicolon, and what each
// stands for; also #128 to #159, which HTML takes for letters of Windows.
class Escapes {
  constructor(names) {
    this.names = new Map(Object.entries(names));
  }

  sign(name) {
    const number = NUMBER.exec(name);
    if (number === null && TOO_LARGE.test(name)) return "";
    if (number === null) return this.names.get(name) ?? null;
    const code = number[1] ? Number(number[1]) : parseInt(number[2], 16);
    return this.names.get(`#${code}`) ?? Escapes.character(code);
  }

  static character(code) {
    const known = code > 0 && code <= 0x10ffff && !(code >= 0xd800 && code <= 0xdfff);
    if (!known || (code >= 0xfdd0 && code <= 0xfdef) || (code & 0xfffe) === 0xfffe) return "";
    return withoutControls(withoutUndecodable(String.fromCodePoint(code)));
  }

  piece(piece) {
    const end = piece.indexOf(";");
    const sign = end < 0 ? null : this.sign(piece.slice(0, end));
    return sign === null ? "&" + piece : sign + piece.slice(end + 1);
  }

  unescaped(text) {
    for (let round = 0; round < ROUNDS; round++) {
      if (!text.includes("&") || !text.includes(";")) return text;
      const before = text;
      text = text.replace(AMPERSANDS, "&");
      const [first, ...pieces] = text.split("&");
      if (pieces.length > MOST_ESCAPES) break;
      text = first + pieces.map((piece) => this.piece(piece)).join("");
      if (text === before) return text;
    }
    return text.replaceAll("&", "");
  }
}

function withoutQuotes(text) {
  text = trimmed(text, ENDS);
  return text.startsWith("<") ? trimmed(text, ENDS + "<>") : text;
}

function refanged(text) {
  for (let round = 0; round < ROUNDS; round++) {
    const before = text;
    text = withoutQuotes(undone(text));
    if (text === before) return text;
  }
  return withoutQuotes(text.replace(NOTHING_LEFT, "").replace(EACH_DOT_IN_WORDS, "."));
}

function undone(text) {
  const [near, far] = parted(text, NEAR);
  const shown = inPlainSigns(near) + far;
  const [front, rest] = splitFront(shown);
  if (front.length > LONGEST) return text.slice(front.length);
  const plain = front.replace(SCHEMES, plainScheme);
  if (plain === front && !hostAltered(rest, front.includes("://"))) return text;
  // A wide slash behind the host has become a plain one; all behind it stays as it was.
  const path = front.length + hostOf(rest).length + 1;
  const kept = shown.slice(front.length, path) + text.slice(path);
  return plain + plainRest(withSlashes(front, unwrapped(front, kept)));
}

function inPlainSigns(text) {
  const narrow = Array.from(text, (sign) => NARROW[WIDE.indexOf(sign)] ?? sign).join("");
  return narrow
    .replace(PERCENT_BRACKET, (_, opening) => (opening ? "[[[" : "]]]"))
    .replace(BEFORE_BRACKET, (found, sign) => sign.replace(":", "]").repeat(found.length));
}

function unwrapped(front, rest) {
  for (const [opening, closing] of ["[]", "()", "{}", "<>"])
    if (countOf(front, opening) > countOf(front, closing) && rest.endsWith(closing))
      rest = rest.slice(0, -1);
  return rest;
}

function withSlashes(front, rest) {
  if (!trimmedEnd(front, "])}>").endsWith("\\\\")) return rest;
  const [near, far] = parted(rest, NEAR);
  return near.replaceAll("\\", "/") + far;
}

function plainRest(rest) {
  const [before, far] = parted(rest, NEAR);
  const near = before.replace(EACH_BRACKETED, plainMark).replace(ESCAPED, "");
  const host = hostOf(near);
  return plainHost(host) + near.slice(host.length).replace(INNER, plainScheme) + far;
}

function splitFront(text) {
  let end = 0;
  for (;;) {
    FRONT_PIECE.lastIndex = end;
    if (!FRONT_PIECE.test(text)) return [text.slice(0, end), text.slice(end)];
    end = FRONT_PIECE.lastIndex;
  }
}

function hostOf(rest) {
  const end = rest.search(HOST_ENDS);
  return end < 0 ? rest : rest.slice(0, end);
}

const groupsOf = (found) => found[found.length - 1]; // what String.replace gives last

function plainScheme(...found) {
  if (groupsOf(found).altered === undefined) return found[0];
  const name = found[0].replace(/^[[({<]+/, "").toLowerCase();
  const plain = (name[0] === "f" ? "ftp" : "http") + (name.includes("s") ? "s" : "") + "://";
  return found[0].toLowerCase() === plain ? found[0] : plain;
}

function plainMark(...found) {
  const mark = groupsOf(found).mark.toLowerCase().replaceAll("\\", "");
  if (":/@".includes(mark[0])) return mark;
  return mark === "at" ? "@" : ".";
}

function hostAltered(rest, withScheme) {
  const host = hostOf(rest);
  if (lengthOf(host) > LONGEST || !SIGNS.test(host)) return false;
  const [behind] = parted(rest.slice(host.length), 4); // a bracket around the slash counts too
  const bracketed = BRACKETED.exec(host + behind);
  return (
    (bracketed !== null && bracketed.index < host.length) ||
    HALF_BRACKETED.test(host) ||
    DOT_IN_WORDS.test(host) ||
    (withScheme && DOT_IN_BLANKS.test(host)) ||
    FIRST_DOT_ESCAPED.test(host)
  );
}

function plainHost(host) {
  host = inBlanks(host.replace(EACH_HALF_BRACKETED, ".")).replace(D_FOR_DOT, ".");
  const kept = host.includes("&") || IPV6.test(host) || UNKNOWN_WORD.test(host);
  return kept ? host : host.replace(BRACKETS, "");
}

const inBlanks = (host) => host.replace(EACH_DOT_IN_WORDS, ".").replace(EACH_DOT_IN_BLANKS, ".");

function withoutSchemes(text) {
  const [front, rest] = splitFront(text);
  return trimmedEnd(rest, ENDS + (front.includes("<") ? ">" : ""));
}

function normalise(text, escapes, moveScheme) {
  text = withoutControls(withoutUndecodable(text));
  text = refanged(withoutQuotes(escapes.unescaped(text)));
  return moveScheme ? withoutSchemes(text) : text;
}
