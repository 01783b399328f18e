#!/bin/sh
# Compiles kernel.c to WebAssembly: build_kernel.sh [OUT]. The bytes in git are those of Debian's
# clang and wasm-ld 14 (apt-get install clang lld); another version gives other bytes, but the same
# logits.
set -eu
folder=$(cd "$(dirname "$0")" && pwd)
cd "$folder" # paths would go into the bytes
out="${1:-kernel.wasm}"
"${CLANG:-clang}" --target=wasm32 -std=c11 -O3 -msimd128 -mbulk-memory -ffp-contract=off \
  -fno-math-errno -ffreestanding -nostdlib -Wall -Wextra -Werror \
  -Wl,--no-entry -Wl,--export=need -Wl,--export=setup -Wl,--export=run -Wl,--export=__heap_base \
  -Wl,--strip-all -o "$out" kernel.c
chmod 644 "$out"
