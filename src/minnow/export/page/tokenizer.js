// Token ids of a text, as the library `tokenizers` reads tokenizer.json: BERT's or no normalizer,
// words as BERT or GPT-2 cut them, WordPiece or byte-level BPE. What else there is, covered.py
// refuses. Letters, digits, lower case and the order of marks are those of the browser's Unicode: a
// sign that Unicode has taken in since gives other tokens, and so may a row of several marks that
// the library is too old for.

// GPT-2's words. Its \s is Unicode's, and JavaScript's is not.
const BLANK = "\\p{White_Space}";
const GPT2_WORDS = new RegExp(
  `'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^${BLANK}\\p{L}\\p{N}]+` +
    `|${BLANK}+(?![^${BLANK}])|${BLANK}+`,
  "gu",
);
const IDEOGRAPHS =
  /[\u4e00-\u9fff\u3400-\u4dbf\u{20000}-\u{2a6df}\u{2a700}-\u{2b73f}\u{2b740}-\u{2b81f}\u{2b920}-\u{2ceaf}\uf900-\ufaff\u{2f800}-\u{2fa1f}]/gu;
const BERT_WORDS = new RegExp(`[${PUNCTUATION}]|[^${PUNCTUATION}${BLANK}]+`, "gu");
const CONTROLS = new RegExp(`[${REMOVED}]`, "gu");
const MARKS = new RegExp(`[${NONSPACING_MARKS}]`, "gu");
const IS_BLANK = new RegExp(BLANK, "u");
const REGEX_SIGNS = /[.*+?^${}()|[\]\\/]/g;

const utf8 = (text) => {
  const bytes = [];
  for (const sign of text) {
    const code = sign.codePointAt(0);
    if (code < 0x80) bytes.push(code);
    else if (code < 0x800) bytes.push(0xc0 | (code >> 6), 0x80 | (code & 63));
    else if (code < 0x10000)
      bytes.push(0xe0 | (code >> 12), 0x80 | ((code >> 6) & 63), 0x80 | (code & 63));
    else
      bytes.push(
        0xf0 | (code >> 18),
        0x80 | ((code >> 12) & 63),
        0x80 | ((code >> 6) & 63),
        0x80 | (code & 63),
      );
  }
  return bytes;
};

// GPT-2's visible letter for each byte.
function byteLetters() {
  const letters = [];
  let next = 256;
  for (let byte = 0; byte < 256; byte++) {
    const visible =
      (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
    letters.push(String.fromCharCode(visible ? byte : next++));
  }
  return letters;
}

// Marks in a row that their order does not bind stand in that of their classes, which a browser
// sorts by insertion: a long row would take its square. So long ones are sorted here before.
const LONG_ROW = /\p{M}{64,}/gu;
const decomposed = (text) => text.replace(LONG_ROW, sortedMarks).normalize("NFD");

// U+0345 has the highest class of all: what stays behind it has none, and moves past no other.
const HIGHEST = "\u0345";
const isBound = (sign) => sign !== HIGHEST && (HIGHEST + sign).normalize("NFD")[0] === HIGHEST;

// A row of marks as NFD orders it: by class between those that have none, else as they were.
function sortedMarks(row) {
  const signs = Array.from(Array.from(row, (sign) => sign.normalize("NFD")).join(""));
  const classes = markClasses(new Set(signs));
  const ordered = [[]];
  for (const sign of signs) {
    if (classes.has(sign)) ordered.at(-1).push(sign);
    else ordered.push([sign], []);
  }
  const later = (a, b) => classes.get(a) - classes.get(b);
  return ordered.map((marks) => marks.sort(later).join("")).join("");
}

// Numbers in the order of their classes for those marks that have one.
function markClasses(marks) {
  const moves = (a, b) => (a + b).normalize("NFD") !== a + b;
  const later = (a, b) => (moves(a, b) ? 1 : moves(b, a) ? -1 : 0);
  const sorted = Array.from(marks).filter((mark) => !isBound(mark)).sort(later);
  let last = 0;
  return new Map(
    sorted.map((mark, place) => [mark, place && later(sorted[place - 1], mark) ? ++last : last]),
  );
}

// BERT's normalizer: clean_text, handle_chinese_chars, strip_accents (null: as lowercase says),
// lowercase.
function bertNormalised(text, said) {
  if (said.clean_text) text = text.replace(CONTROLS, "").replace(/\p{White_Space}/gu, " ");
  if (said.handle_chinese_chars) text = text.replace(IDEOGRAPHS, " $& ");
  if (said.strip_accents ?? said.lowercase) text = decomposed(text).replace(MARKS, "");
  // Sign by sign: in a whole word JavaScript would give a sigma at the end another form.
  return said.lowercase ? Array.from(text, (sign) => sign.toLowerCase()).join("") : text;
}

class WordPiece {
  constructor(model) {
    this.vocabulary = new Map(Object.entries(model.vocab));
    this.unknown = this.vocabulary.get(model.unk_token);
    this.prefix = model.continuing_subword_prefix;
    this.longest = model.max_input_chars_per_word;
    this.longestPiece = 0; // in a loop: no call takes as many arguments as there are pieces
    for (const piece of this.vocabulary.keys())
      this.longestPiece = Math.max(this.longestPiece, piece.length);
  }

  // Cuts off the longest piece that is known, again and again.
  ids(word) {
    const signs = Array.from(word);
    if (signs.length > this.longest) return [this.unknown];
    const ids = [];
    for (let from = 0; from < signs.length; ) {
      let to = Math.min(signs.length, from + this.longestPiece);
      while (to > from && !this.vocabulary.has(this.piece(signs, from, to))) to--;
      if (to === from) return [this.unknown];
      ids.push(this.vocabulary.get(this.piece(signs, from, to)));
      from = to;
    }
    return ids;
  }

  piece(signs, from, to) {
    return (from > 0 ? this.prefix : "") + signs.slice(from, to).join("");
  }
}

// The smallest of what was pushed, by rank and then by place, first.
class Heap {
  constructor() {
    this.items = [];
  }

  static before(a, b) {
    return a.rank < b.rank || (a.rank === b.rank && a.place < b.place);
  }

  push(item) {
    const items = this.items;
    let at = items.push(item) - 1;
    for (let up = (at - 1) >> 1; at > 0 && Heap.before(item, items[up]); up = (at - 1) >> 1) {
      items[at] = items[up];
      at = up;
    }
    items[at] = item;
  }

  pop() {
    const [first] = this.items;
    const last = this.items.pop();
    if (this.items.length) this.sink(last);
    return first;
  }

  sink(item) {
    const items = this.items;
    let at = 0;
    for (;;) {
      let down = 2 * at + 1;
      if (down + 1 < items.length && Heap.before(items[down + 1], items[down])) down++;
      if (down >= items.length || !Heap.before(items[down], item)) break;
      items[at] = items[down];
      at = down;
    }
    items[at] = item;
  }
}

class BytePairs {
  constructor(model) {
    this.vocabulary = new Map(Object.entries(model.vocab));
    this.ranks = new Map();
    model.merges.forEach((pair, rank) => this.ranks.set(pair.join(" "), rank));
    this.whole = model.ignore_merges ?? false;
    this.letters = byteLetters();
    this.known = new Map(); // word → ids
  }

  ids(word) {
    let ids = this.known.get(word);
    if (ids === undefined) {
      ids = this.merged(utf8(word).map((byte) => this.letters[byte]));
      if (this.known.size < 20_000 && word.length < 100) this.known.set(word, ids);
    }
    return ids;
  }

  // Joins the neighbours of the lowest rank, the first ones first, until none are left to join.
  merged(pieces) {
    const entire = this.whole ? this.vocabulary.get(pieces.join("")) : undefined;
    if (entire !== undefined) return [entire];
    const next = pieces.map((_, place) => place + 1);
    const before = pieces.map((_, place) => place - 1);
    const waiting = new Heap();
    const offer = (place) => {
      const pair = pieces[place] + " " + pieces[next[place]];
      const rank = place >= 0 && next[place] < pieces.length ? this.ranks.get(pair) : undefined;
      if (rank !== undefined) waiting.push({ rank, place, pair });
    };
    pieces.forEach((_, place) => offer(place));
    while (waiting.items.length) {
      const { place, pair } = waiting.pop();
      if (pieces[place] === null || pieces[place] + " " + pieces[next[place]] !== pair) continue;
      pieces[place] += pieces[next[place]];
      pieces[next[place]] = null;
      next[place] = next[next[place]];
      if (next[place] < pieces.length) before[next[place]] = place;
      offer(before[place]);
      offer(place);
    }
    // A byte without a piece of its own gives none, as in `tokenizers`.
    return pieces.filter((piece) => piece !== null).flatMap((piece) => this.vocabulary.get(piece) ?? []);
  }
}

// The tokens that stand for themselves, wherever they stand: the longest first, with the blanks
// beside them that they ask for.
class Added {
  constructor(tokens) {
    this.tokens = new Map(tokens.map((token) => [token.content, token]));
    const longestFirst = [...this.tokens.keys()].sort((a, b) => b.length - a.length);
    const sources = longestFirst.map((content) => content.replace(REGEX_SIGNS, "\\$&"));
    this.pattern = tokens.length ? new RegExp(sources.join("|"), "gu") : null;
  }

  // Yields what stands between the tokens as text, and the tokens as ids.
  *pieces(text) {
    let from = 0;
    for (const found of this.pattern ? text.matchAll(this.pattern) : []) {
      const { id, lstrip, rstrip } = this.tokens.get(found[0]);
      let [start, end] = [found.index, found.index + found[0].length];
      while (lstrip && start > from && IS_BLANK.test(text[start - 1])) start--;
      while (rstrip && end < text.length && IS_BLANK.test(text[end])) end++;
      if (start > from) yield text.slice(from, start);
      yield id;
      from = end;
    }
    if (from < text.length) yield text.slice(from);
  }
}

class Tokenizer {
  // `before` and `behind` are the ids that every text gets around it; `nothing` is that of a text
  // without any.
  constructor(json, { before, behind, nothing, maxLength }) {
    this.normalizer = json.normalizer;
    this.byteLevel = json.pre_tokenizer.type === "ByteLevel";
    this.prefixSpace = this.byteLevel && json.pre_tokenizer.add_prefix_space;
    this.model = json.model.type === "BPE" ? new BytePairs(json.model) : new WordPiece(json.model);
    this.added = new Added(json.added_tokens);
    this.before = before;
    this.behind = behind;
    this.nothing = nothing;
    this.room = maxLength - before.length - behind.length;
  }

  encode(text) {
    const ids = [];
    for (const piece of this.added.pieces(text)) {
      if (typeof piece === "number") ids.push(piece);
      else this.addWords(this.normalised(piece), ids);
      if (ids.length >= this.room) break;
    }
    const all = [...this.before, ...ids.slice(0, this.room), ...this.behind];
    return all.length ? all : [this.nothing];
  }

  normalised(text) {
    return this.normalizer === null ? text : bertNormalised(text, this.normalizer);
  }

  addWords(text, ids) {
    if (this.prefixSpace && text && !text.startsWith(" ")) text = " " + text;
    for (const [word] of text.matchAll(this.byteLevel ? GPT2_WORDS : BERT_WORDS)) {
      for (const id of this.model.ids(word)) ids.push(id);
      if (ids.length >= this.room) return; // what is behind is cut off anyway
    }
  }
}
