// RUN: mohaq-opt %s -p "lower-to-epiphany{target=epiphany-e16}" | filecheck %s
// RUN: mohaq-opt %s -p "lower-to-epiphany{prefer=energy}" | filecheck %s
// RUN: mohaq-opt %s -p "lower-to-epiphany{target=epiphany-e16}" -o %t/low.mlir

// The program stays; its schedule stands beside it.

builtin.module {
  param.declare @fc.weight.q4 : tensor<20x3xsi4>
  param.declare @fc.bias.q : tensor<20xsi16>
  func.func @main(%x: tensor<?x?x3xsi8>) -> tensor<?x?x20xsi16> {
    %w = param.load @fc.weight.q4 : tensor<20x3xsi4>
    %p = qnn.matmul %x, %w {acc = #qnn.acc<32, proved, bound = 3072>, layer = "fc"} : (tensor<?x?x3xsi8>, tensor<20x3xsi4>) -> tensor<?x?x20xsi13>
    %b = param.load @fc.bias.q : tensor<20xsi16>
    %q = qnn.bias %p, %b {acc_shift = 4 : i64, bias_shift = 0 : i64, layer = "fc"} : (tensor<?x?x20xsi13>, tensor<20xsi16>) -> tensor<?x?x20xsi18>
    %y = qnn.requantize %q {multipliers = array<i64: 21>, shifts = array<i64: 7>, layer = "fc"} : (tensor<?x?x20xsi18>) -> tensor<?x?x20xsi16>
    func.return %y : tensor<?x?x20xsi16>
  }
}

// 20 units on 16 cores: two a core, ten cores work. The spare row makes two rows a block of four.

// CHECK:      func.func @main
// CHECK:      epiphany.program "epiphany-e16" cores 16 banks [{{[0-9]+}} : i64, {{[0-9]+}} : i64, {{[0-9]+}} : i64] size {{[0-9]+}} {
// CHECK-NEXT:   epiphany.stage "fc" active 10 quads 16 levels 1 buffered 0
// CHECK-NEXT:     epiphany.operand columns [3 : i64] tiles [1 : i64] of [8 : i64]
// CHECK-NEXT:     epiphany.product "fc.weight.q4" "tile4" source 0 rows 2 bits 4 accumulator 32 active 10 columns [3 : i64] tiles [1 : i64] of [8 : i64] at_once 1 resident {{[123]}}
// CHECK-NEXT:     epiphany.transfer "output" values 2 count 1 active 10
// CHECK-NEXT:     epiphany.elements "rescale" count 2 active 10
// CHECK-NEXT:     epiphany.elements "store" count 2 active 10
// CHECK:          epiphany.field "sums0" "uint32_t" count 256 bank 1
