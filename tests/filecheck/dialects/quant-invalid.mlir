// RUN: mohaq-opt %s --split-input-file --verify-diagnostics

// expected-error {{grid width must be 2..16 bits, got 1}}
builtin.module attributes {a = #quant.grid<1, 0.1>} {}

// -----

// expected-error {{grid scale must be positive and finite, got 0.0}}
builtin.module attributes {a = #quant.grid<8, 0.0>} {}

// -----

// expected-error {{cannot parse}}
builtin.module attributes {a = #quant.grid<8>} {}

// -----

// expected-error {{clip width 17 outside 2..16}}
builtin.module attributes {a = #quant.clips<17 = 1.0>} {}

// -----

// expected-error {{clip -1.0 is not positive}}
builtin.module attributes {a = #quant.clips<8 = -1.0>} {}
