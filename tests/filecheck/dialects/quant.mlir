// RUN: mohaq-opt %s | mohaq-opt | filecheck %s

// CHECK: a = #quant.grid<2, 0.1>
// CHECK-SAME: b = #quant.grid<16, 1.0e-07>
// CHECK-SAME: c = #quant.clips<4 = 2.0, 16 = 3.5>
builtin.module attributes {a = #quant.grid<2, 0.1>, b = #quant.grid<16, 1.0e-07>, c = #quant.clips<16 = 3.5, 4 = 2.0>} {}
