// The model: packed weights in, two logits a text out.

const DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

function bytesOfBase64(text) {
  const values = new Uint8Array(128);
  for (let value = 0; value < 64; value++) values[DIGITS.charCodeAt(value)] = value;
  const bytes = new Uint8Array(Math.floor((text.replace(/=+$/, "").length * 3) / 4));
  for (let from = 0, to = 0; to < bytes.length; from += 4, to += 3) {
    const [a, b, c, d] = [0, 1, 2, 3].map((i) => values[text.charCodeAt(from + i)]);
    bytes[to] = (a << 2) | (b >> 4);
    bytes[to + 1] = (b << 4) | (c >> 2);
    bytes[to + 2] = (c << 6) | d;
  }
  return bytes;
}

const PAGE_BYTES = 65_536; // of WebAssembly's memory
const roundedUp = (place) => Math.ceil(place / 64) * 64;

class Kernel {
  // `exports` are those of an instance of kernel.wasm.
  constructor(exports, weights, longest) {
    this.exports = exports;
    const start = roundedUp(exports.__heap_base.value);
    const room = roundedUp(start + weights.length);
    this.grow(room);
    new Uint8Array(exports.memory.buffer).set(weights, start);
    this.ids = roundedUp(room + 4 * Math.max(0, exports.need(start)));
    this.out = roundedUp(this.ids + 4 * longest);
    this.grow(this.out + 64);
    if (exports.setup(start, room) !== weights.length)
      throw new Error("The weights in this page are damaged.");
    this.view = new Float32Array(exports.memory.buffer, this.out, 2);
    this.longest = longest;
  }

  grow(bytes) {
    const missing = bytes - this.exports.memory.buffer.byteLength;
    if (missing > 0) this.exports.memory.grow(Math.ceil(missing / PAGE_BYTES));
  }

  logits(ids) {
    new Int32Array(this.exports.memory.buffer, this.ids, this.longest).set(ids);
    if (this.exports.run(this.ids, ids.length, this.out) !== 0)
      throw new Error("The tokens do not fit the weights in this page.");
    return [this.view[0], this.view[1]];
  }
}

// A classifier of what a page holds, see building.py.
class Classifier {
  constructor(data, exports) {
    this.settings = data.settings;
    this.escapes = new Escapes(data.escapes);
    this.tokenizer = new Tokenizer(data.tokenizer, data.settings);
    this.kernel = new Kernel(exports, bytesOfBase64(data.weights), data.settings.maxLength);
  }

  cleaned(text) {
    return normalise(text, this.escapes, this.settings.moveScheme);
  }

  // The second label's logit minus the first's.
  margin(text) {
    const [first, second] = this.kernel.logits(this.tokenizer.encode(this.cleaned(text)));
    return second - first;
  }

  probability(margin) {
    return 0.5 * (1 + Math.tanh(margin / this.settings.temperature / 2));
  }
}
