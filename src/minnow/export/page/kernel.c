// A quantized BERT, DistilBERT or RoBERTa classifier, one text at a time: what `weights.py` packs,
// in; two logits, out. No library. Compiled to WebAssembly by build_kernel.sh.
//
// Every number has the same bits on every machine: each sum has one order, written here, and no
// compiler may fuse or reorder (-ffp-contract=off, no -ffast-math). Vectors of four are four sums
// side by side, never a reordering of one.

typedef float v4 __attribute__((vector_size(16), aligned(4), may_alias));
typedef int i4 __attribute__((vector_size(16), aligned(4), may_alias));
typedef unsigned char u8;
typedef signed char s8;
typedef unsigned short u16;
typedef unsigned int u32;

#define EXPORT __attribute__((visibility("default")))
#define INLINE static inline __attribute__((always_inline))
#define MAGIC 0x31574e4d  // "MNW1"
#define MOST_LAYERS 48
#define LABELS 2
#define PANEL 8  // outputs of a linear layer that are computed side by side
#define LOWEST -3.0e38f

// The formats of a part, as weights.py numbers them.
enum { F32, F16, BF16, FOUR, FOUR_DOUBLE, EIGHT, FOUR_ROWS, EIGHT_ROWS };

typedef struct {
  int magic, width, heads, layers, neurons, words, positions, longest;
  int padding;           // the token from whose id on positions are counted, or -1
  int relu, hidden_relu; // in place of gelu within the layers, of tanh in the head
  float epsilon;
  float book[16], scale_book[256];
} Header;

// A matrix as it is stored. `codes` holds its numbers, or the codes of them; scales stand for each
// block of codes, counted through the whole matrix or, in a table, through each row.
typedef struct {
  int format, block, group;
  float offset;
  const void *codes, *scales, *absmax;
} Part;

// The weight lies in panels of PANEL outputs, [panel][input][output of the panel].
typedef struct {
  int inputs;
  float *weight, *bias;
} Linear;

typedef struct {
  Linear query_key_value, context, up, down;
  float *attended, *normed; // a norm is `width` weights, then `width` biases
} Layer;

static struct {
  const Header *header;
  Part words, positions;
  float *types, *normed;
  Layer layers[MOST_LAYERS];
  Linear hidden, head;
  float *states, *projected, *mixed, *inner, *scores, *keys, *row;
} model;
static const u8 *next_byte; // of what is being read
static float *next_float;   // of the room that is being filled

// --- Numbers -------------------------------------------------------------------------------------

INLINE v4 all(float x) { return (v4){x, x, x, x}; }
INLINE v4 chosen(i4 mask, v4 yes, v4 no) { return (v4)((mask & (i4)yes) | (~mask & (i4)no)); }
INLINE v4 magnitude(v4 x) { return chosen(x < all(0.0f), -x, x); }
INLINE float total(v4 x) { return (x[0] + x[1]) + (x[2] + x[3]); }

INLINE float from_bits(u32 bits) {
  union { u32 bits; float number; } both = {bits};
  return both.number;
}

static float from_half(u16 half) {
  u32 sign = (u32)(half >> 15) << 31, exponent = half >> 10 & 31, rest = half & 1023;
  if (exponent == 0) return from_bits(sign | 0x33800000) * (float)rest; // 2^-24 each
  return from_bits(sign | (exponent + 112) << 23 | rest << 13);
}

// e^x for x <= 0: 2^n times e^r, where |r| <= ln(2) / 2 and e^r is its series up to r^7.
INLINE v4 exponential(v4 x) {
  const v4 rounding = all(12582912.0f); // 1.5 * 2^23: adding it rounds to a whole number
  x = chosen(x < all(-87.0f), all(-87.0f), x);
  v4 shifted = x * all(1.44269504f) + rounding;
  i4 whole = (i4)shifted - (i4)rounding;
  v4 n = shifted - rounding;
  v4 r = x - n * all(0.693359375f);    // ln(2) in two parts, of which the first times n is exact
  r = r + n * all(0.000212194440f);
  v4 sum = all(1.0f / 5040.0f);
  sum = sum * r + all(1.0f / 720.0f);
  sum = sum * r + all(1.0f / 120.0f);
  sum = sum * r + all(1.0f / 24.0f);
  sum = sum * r + all(1.0f / 6.0f);
  sum = sum * r + all(0.5f);
  sum = sum * r + all(1.0f);
  sum = sum * r + all(1.0f);
  return sum * (v4)((whole + 127) << 23);
}

// erf(x) = x P(x^2) for |x| < 1. P was fitted by least squares to scipy.special.erf at 400 Chebyshev
// nodes of 0..1 for x^2, and is off by 1.2e-9 there.
INLINE v4 small_error_function(v4 x) {
  v4 square = x * x, sum = all(7.88249745e-05f);
  sum = sum * square + all(-0.00080188555f);
  sum = sum * square + all(0.00518931216f);
  sum = sum * square + all(-0.0268543288f);
  sum = sum * square + all(0.112835974f);
  sum = sum * square + all(-0.37612626f);
  sum = sum * square + all(1.12837911f);
  return x * sum;
}

// erf(x) = 1 - e^(-x^2) t P(t) for x >= 0, with t = 1 / (1 + 0.45 x). P was fitted in the same way
// to scipy.special.erfcx for x of 0..4.2, and is off by 1.2e-9 there.
INLINE v4 error_function(v4 x) {
  v4 size = magnitude(x);
  v4 t = all(1.0f) / (all(1.0f) + all(0.45f) * size);
  v4 sum = all(0.0927238241f);
  sum = sum * t + all(-0.494863212f);
  sum = sum * t + all(0.858715057f);
  sum = sum * t + all(-0.377475172f);
  sum = sum * t + all(0.461180955f);
  sum = sum * t + all(0.200685993f);
  sum = sum * t + all(0.259032518f);
  v4 found = all(1.0f) - sum * t * exponential(-size * size);
  found = chosen(x < all(0.0f), -found, found);
  return chosen(size < all(1.0f), small_error_function(x), found);
}

INLINE v4 relu(v4 x) { return chosen(x > all(0.0f), x, all(0.0f)); }
INLINE v4 gelu(v4 x) { return all(0.5f) * x * (all(1.0f) + error_function(x * all(0.707106781f))); }

INLINE v4 hyperbolic_tangent(v4 x) {
  v4 power = exponential(all(-2.0f) * magnitude(x));
  v4 found = (all(1.0f) - power) / (all(1.0f) + power);
  return chosen(x < all(0.0f), -found, found);
}

// --- What is stored ------------------------------------------------------------------------------

static const void *read(long bytes) {
  const void *found = next_byte;
  next_byte += (bytes + 3) & ~3L;
  return found;
}
static int read_int(void) { return *(const int *)read(4); }
static float read_float(void) { return *(const float *)read(4); }

static float *take(long floats) {
  float *found = next_float;
  next_float += (floats + 3) & ~3L;
  return found;
}

static Part read_four(int format, long numbers) {
  Part part = {.format = format, .block = read_int()};
  long blocks = numbers / part.block;
  if (format == FOUR_DOUBLE) {
    part.group = read_int();
    part.offset = read_float();
  }
  part.codes = read(numbers / 2);
  part.scales = read(format == FOUR ? 4 * blocks : blocks);
  if (format == FOUR_DOUBLE) part.absmax = read((blocks + part.group - 1) / part.group * 4);
  return part;
}

static Part read_rows(int format, long rows, int width) {
  Part part = {.format = format, .block = read_int()};
  part.codes = read(rows * (format == FOUR_ROWS ? (width + 1) / 2 : width));
  part.scales = read(rows * ((width + part.block - 1) / part.block) * 2);
  return part;
}

static Part read_part(long rows, int width) {
  int format = read_int();
  if (format == FOUR || format == FOUR_DOUBLE) return read_four(format, rows * width);
  if (format == FOUR_ROWS || format == EIGHT_ROWS) return read_rows(format, rows, width);
  Part part = {.format = format};
  part.codes = read(rows * width * (format == F32 ? 4 : format == EIGHT ? 1 : 2));
  if (format == EIGHT) part.scales = read(4 * rows);
  return part;
}

// The scale of a block of a matrix in 4 bits.
static float block_scale(const Part *part, long block) {
  if (part->format == FOUR) return ((const float *)part->scales)[block];
  float absmax = ((const float *)part->absmax)[block / part->group];
  float scale = model.header->scale_book[((const u8 *)part->scales)[block]] * absmax;
  return scale + part->offset;
}

static float book(const u8 *codes, long place) {
  u8 pair = codes[place >> 1];
  return model.header->book[place & 1 ? pair & 15 : pair >> 4];
}

static void decode_four(const Part *part, long row, int width, float *out) {
  for (int i = 0; i < width; i++) {
    long place = row * width + i;
    out[i] = book(part->codes, place) * block_scale(part, place / part->block);
  }
}

static void decode_four_rows(const Part *part, long row, int width, float *out) {
  const u8 *codes = (const u8 *)part->codes + row * ((width + 1) / 2);
  const u16 *scales = (const u16 *)part->scales + row * ((width + part->block - 1) / part->block);
  for (int i = 0; i < width; i++) out[i] = book(codes, i) * from_half(scales[i / part->block]);
}

static void decode_eight(const s8 *codes, float absmax, int width, float *out) {
  float scale = absmax / 127.0f;
  for (int i = 0; i < width; i++) out[i] = (float)codes[i] * scale;
}

static void decode_floats(const Part *part, long from, int width, float *out) {
  const float *whole = (const float *)part->codes + from;
  const u16 *half = (const u16 *)part->codes + from;
  for (int i = 0; i < width; i++)
    out[i] = part->format == F32   ? whole[i]
             : part->format == F16 ? from_half(half[i])
                                   : from_bits((u32)half[i] << 16);
}

// The float32 numbers that a row of a matrix stands for.
static void decode(const Part *part, long row, int width, float *out) {
  const s8 *bytes = (const s8 *)part->codes + row * width;
  switch (part->format) {
    case FOUR:
    case FOUR_DOUBLE: decode_four(part, row, width, out); break;
    case FOUR_ROWS: decode_four_rows(part, row, width, out); break;
    case EIGHT: decode_eight(bytes, ((const float *)part->scales)[row], width, out); break;
    case EIGHT_ROWS:
      decode_eight(bytes, from_half(((const u16 *)part->scales)[row]), width, out); break;
    default: decode_floats(part, row * width, width, out);
  }
}

static void read_vector(int count, float *out) {
  Part part = read_part(1, count);
  decode(&part, 0, count, out);
}

static float *read_norm(int width) {
  float *norm = take(2L * width);
  read_vector(width, norm);
  read_vector(width, norm + width);
  return norm;
}

// --- Linear layers -------------------------------------------------------------------------------

static float *panel_place(const Linear *layer, int output) {
  return layer->weight + (long)(output / PANEL) * PANEL * layer->inputs + output % PANEL;
}

static Linear make_linear(int outputs, int inputs) {
  int padded = (outputs + PANEL - 1) / PANEL * PANEL;
  Linear layer = {inputs, take((long)padded * inputs), take(padded)};
  for (long i = 0; i < (long)padded * inputs; i++) layer.weight[i] = 0.0f;
  for (int i = 0; i < padded; i++) layer.bias[i] = 0.0f;
  return layer;
}

// Adds scale * b a to a row of a weight: its row of b, times a.
static void add_adapter(const Part *a, const Part *b, int rank, float scale, int row, int inputs,
                        float *weight) {
  float *low = model.row + inputs, *sums = low + rank, *high = sums + inputs;
  decode(b, row, rank, low);
  for (int i = 0; i < inputs; i++) sums[i] = 0.0f;
  for (int r = 0; r < rank; r++) {
    decode(a, r, inputs, high);
    for (int i = 0; i < inputs; i++) sums[i] = sums[i] + low[r] * high[i];
  }
  for (int i = 0; i < inputs; i++) weight[i] = weight[i] + scale * sums[i];
}

// Reads a layer into the outputs from `first` on of a layer that may hold several.
static void read_linear(Linear *layer, int first, int outputs) {
  int inputs = layer->inputs;
  Part weight = read_part(outputs, inputs), a = {0}, b = {0};
  read_vector(outputs, layer->bias + first);
  int rank = read_int();
  float scale = rank ? read_float() : 0.0f;
  if (rank) a = read_part(rank, inputs), b = read_part(outputs, rank);
  for (int row = 0; row < outputs; row++) {
    decode(&weight, row, inputs, model.row);
    if (rank) add_adapter(&a, &b, rank, scale, row, inputs, model.row);
    float *place = panel_place(layer, first + row);
    for (int i = 0; i < inputs; i++) place[(long)PANEL * i] = model.row[i];
  }
}

static Linear whole_linear(int outputs, int inputs) {
  Linear layer = make_linear(outputs, inputs);
  read_linear(&layer, 0, outputs);
  return layer;
}

// PANEL outputs of `rows` inputs: each the plain sum over its inputs in order, then the bias.
INLINE void panel(int rows, int inputs, const float *x, int x_step, const float *weight,
                  const float *bias, float *y, int y_step) {
  v4 low[6], high[6];
  for (int r = 0; r < rows; r++) low[r] = high[r] = all(0.0f);
  for (int i = 0; i < inputs; i++) {
    v4 w_low = *(const v4 *)(weight + PANEL * i), w_high = *(const v4 *)(weight + PANEL * i + 4);
    for (int r = 0; r < rows; r++) {
      low[r] = low[r] + all(x[r * x_step + i]) * w_low;
      high[r] = high[r] + all(x[r * x_step + i]) * w_high;
    }
  }
  for (int r = 0; r < rows; r++) {
    *(v4 *)(y + r * y_step) = low[r] + *(const v4 *)bias;
    *(v4 *)(y + r * y_step + 4) = high[r] + *(const v4 *)(bias + 4);
  }
}

// The outputs from..to of a layer for each row of x, written to y from its column 0 on.
static void linear(const Linear *layer, int from, int to, int rows, const float *x, int x_step,
                   float *y, int y_step) {
  for (int j = from; j < to; j += PANEL) {
    const float *weight = panel_place(layer, j), *bias = layer->bias + j;
    const int k = layer->inputs;
    float *out = y + j - from;
    int r = 0;
    for (; r + 6 <= rows; r += 6)
      panel(6, k, x + r * x_step, x_step, weight, bias, out + r * y_step, y_step);
    for (; r + 2 <= rows; r += 2)
      panel(2, k, x + r * x_step, x_step, weight, bias, out + r * y_step, y_step);
    for (; r < rows; r++)
      panel(1, k, x + r * x_step, x_step, weight, bias, out + r * y_step, y_step);
  }
}

// --- The encoder ---------------------------------------------------------------------------------

static void add(float *x, const float *y, long count) {
  for (long i = 0; i < count; i += 4) *(v4 *)(x + i) = *(v4 *)(x + i) + *(const v4 *)(y + i);
}

static void normalise(float *x, const float *norm, int width) {
  v4 sum = all(0.0f), squares = all(0.0f);
  for (int i = 0; i < width; i += 4) sum = sum + *(v4 *)(x + i);
  v4 mean = all(total(sum) / (float)width);
  for (int i = 0; i < width; i += 4) {
    v4 centred = *(v4 *)(x + i) - mean;
    squares = squares + centred * centred;
  }
  float variance = total(squares) / (float)width + model.header->epsilon;
  v4 scale = all(1.0f / __builtin_sqrtf(variance));
  for (int i = 0; i < width; i += 4) {
    v4 scaled = (*(v4 *)(x + i) - mean) * scale * *(const v4 *)(norm + i);
    *(v4 *)(x + i) = scaled + *(const v4 *)(norm + width + i);
  }
}

static void add_and_normalise(float *x, const float *y, const float *norm, int rows, int width) {
  add(x, y, (long)rows * width);
  for (int r = 0; r < rows; r++) normalise(x + r * width, norm, width);
}

// The row of the table of positions for the token at `place`: RoBERTa counts tokens behind the
// padding token's id, which padding itself keeps.
static int position_of(const int *ids, int place) {
  int padding = model.header->padding, found = padding;
  if (padding < 0) return place;
  if (ids[place] == padding) return padding;
  for (int i = 0; i <= place; i++) found += ids[i] != padding;
  return found;
}

static void embed(const int *ids, int tokens) {
  int width = model.header->width;
  for (int t = 0; t < tokens; t++) {
    float *state = model.states + t * width;
    decode(&model.words, ids[t], width, state);
    decode(&model.positions, position_of(ids, t), width, model.row);
    add(state, model.row, width);
    if (model.types) add(state, model.types, width);
    normalise(state, model.normed, width);
  }
}

// The keys of one head, turned: [dimension][token], with zeros behind the last token.
static void turn_keys(int tokens, int padded, int first, int size) {
  int width = model.header->width;
  for (int t = 0; t < padded; t++)
    for (int j = 0; j < size; j++)
      model.keys[j * padded + t] =
          t < tokens ? model.projected[t * 3 * width + width + first + j] : 0.0f;
}

// Fills `scores` with e^(score - the largest), zeros behind the last token; returns 1 / their sum.
static float attend(const float *query, int tokens, int padded, int size) {
  v4 root = all(1.0f / __builtin_sqrtf((float)size)), sum = all(0.0f);
  float largest = LOWEST;
  for (int t = 0; t < padded; t += 4) {
    v4 score = all(0.0f);
    for (int j = 0; j < size; j++)
      score = score + all(query[j]) * *(const v4 *)(model.keys + j * padded + t);
    *(v4 *)(model.scores + t) = score * root;
  }
  for (int t = 0; t < tokens; t++)
    largest = model.scores[t] > largest ? model.scores[t] : largest;
  for (int t = 0; t < padded; t += 4) {
    v4 power = exponential(*(v4 *)(model.scores + t) - all(largest));
    *(v4 *)(model.scores + t) = power;
    for (int i = t; i < t + 4; i++)
      if (i >= tokens) model.scores[i] = 0.0f;
    sum = sum + *(v4 *)(model.scores + t);
  }
  return 1.0f / total(sum);
}

// Mixes the values of one head for the first `rows` tokens.
static void mix_head(int rows, int tokens, int first, int size) {
  int width = model.header->width, padded = (tokens + 3) & ~3;
  const float *values = model.projected + 2 * width + first;
  turn_keys(tokens, padded, first, size);
  for (int r = 0; r < rows; r++) {
    float inverse = attend(model.projected + r * 3 * width + first, tokens, padded, size);
    for (int j = 0; j < size; j += 4) {
      v4 sum = all(0.0f);
      for (int t = 0; t < tokens; t++)
        sum = sum + all(model.scores[t]) * *(const v4 *)(values + t * 3 * width + j);
      *(v4 *)(model.mixed + r * width + first + j) = sum * all(inverse);
    }
  }
}

static void activate(float *x, long count, int is_relu) {
  for (long i = 0; i < count; i += 4)
    *(v4 *)(x + i) = is_relu ? relu(*(v4 *)(x + i)) : gelu(*(v4 *)(x + i));
}

// One layer, of which only the first `rows` tokens are asked for.
static void run_layer(const Layer *layer, int rows, int tokens) {
  int width = model.header->width, neurons = model.header->neurons;
  int size = width / model.header->heads;
  float *made = model.projected; // once attention has read it
  linear(&layer->query_key_value, 0, width, rows, model.states, width, made, 3 * width);
  linear(&layer->query_key_value, width, 3 * width, tokens, model.states, width, made + width,
         3 * width);
  for (int first = 0; first < width; first += size) mix_head(rows, tokens, first, size);
  linear(&layer->context, 0, width, rows, model.mixed, width, made, width);
  add_and_normalise(model.states, made, layer->attended, rows, width);
  linear(&layer->up, 0, neurons, rows, model.states, width, model.inner, neurons);
  activate(model.inner, (long)rows * neurons, model.header->relu);
  linear(&layer->down, 0, width, rows, model.inner, neurons, made, width);
  add_and_normalise(model.states, made, layer->normed, rows, width);
}

static void classify(float *out) {
  int width = model.header->width;
  float *hidden = model.mixed, *logits = model.scores;
  linear(&model.hidden, 0, width, 1, model.states, width, hidden, width);
  for (int i = 0; i < width; i += 4) {
    v4 x = *(v4 *)(hidden + i);
    *(v4 *)(hidden + i) = model.header->hidden_relu ? relu(x) : hyperbolic_tangent(x);
  }
  linear(&model.head, 0, PANEL, 1, hidden, width, logits, PANEL);
  for (int i = 0; i < LABELS; i++) out[i] = logits[i];
}

// --- What is called ------------------------------------------------------------------------------

static int fits(const Header *h) {
  return h->magic == MAGIC && h->layers >= 0 && h->layers <= MOST_LAYERS && h->width > 0 &&
         h->width % PANEL == 0 && h->neurons > 0 && h->neurons % PANEL == 0 && h->heads > 0 &&
         h->width % h->heads == 0 && h->width / h->heads % 4 == 0 && h->longest > 0;
}

// The floats that setup needs; -1 for what it would refuse.
EXPORT long need(const void *packed) {
  const Header *h = packed;
  if (!fits(h)) return -1;
  long w = h->width, n = h->neurons, t = (h->longest + 3) & ~3, wide = w > n ? w : n;
  long layer = 4 * w * w + 4 * w + 2 * w + 2 * w * n + n + w + 2 * w;
  long head = w * w + w + PANEL * w + PANEL, norm = 2 * w, types = w;
  long work = t * w + t * 3 * w + t * w + t * n + t + PANEL + w * t;
  return h->layers * layer + head + norm + types + work + 3 * wide + wide;
}

static void make_work(const Header *h) {
  long w = h->width, n = h->neurons, t = (h->longest + 3) & ~3, wide = w > n ? w : n;
  model.states = take(t * w);
  model.projected = take(t * 3 * w);
  model.mixed = take(t * w);
  model.inner = take(t * n);
  model.scores = take(t + PANEL);
  model.keys = take(w * t);
  model.row = take(4 * wide); // a row, and for adapters one each of b, sums and a
}

static Layer read_layer(int width, int neurons) {
  Layer layer = {.query_key_value = make_linear(3 * width, width)};
  for (int i = 0; i < 3; i++) read_linear(&layer.query_key_value, i * width, width);
  layer.context = whole_linear(width, width);
  layer.attended = read_norm(width);
  layer.up = whole_linear(neurons, width);
  layer.down = whole_linear(width, neurons);
  layer.normed = read_norm(width);
  return layer;
}

// Reads packed weights, which must stay where they are, into `room` of need() floats. Returns the
// bytes that it has read, which should be all; -1 for what it refuses.
EXPORT long setup(const void *packed, float *room) {
  const Header *h = packed;
  if (!fits(h)) return -1;
  model.header = h;
  next_byte = (const u8 *)(h + 1);
  next_float = room;
  make_work(h);
  model.words = read_part(h->words, h->width);
  model.positions = read_part(h->positions, h->width);
  model.types = read_int() ? take(h->width) : 0;
  if (model.types) read_vector(h->width, model.types);
  model.normed = read_norm(h->width);
  for (int i = 0; i < h->layers; i++) model.layers[i] = read_layer(h->width, h->neurons);
  model.hidden = whole_linear(h->width, h->width);
  model.head = whole_linear(LABELS, h->width);
  return next_byte - (const u8 *)packed;
}

// Writes the two logits of a text's token ids; returns -1 for too many tokens or an unknown one.
EXPORT int run(const int *ids, int tokens, float *out) {
  const Header *h = model.header;
  if (tokens < 1 || tokens > h->longest) return -1;
  for (int t = 0; t < tokens; t++)
    if (ids[t] < 0 || ids[t] >= h->words || position_of(ids, t) >= h->positions) return -1;
  embed(ids, tokens);
  for (int i = 0; i < h->layers; i++) // the head reads the first token alone
    run_layer(&model.layers[i], i == h->layers - 1 ? 1 : tokens, tokens);
  classify(out);
  return 0;
}
