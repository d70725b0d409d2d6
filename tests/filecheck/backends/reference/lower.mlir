// RUN: mohaq-opt %s -p legalize-for-reference | filecheck %s --check-prefix LEGAL
// RUN: mohaq-opt %s -p "legalize-for-reference,lower-to-reference{target=reference prefer=energy}" | filecheck %s

// Products get the core's accumulator; then each operation knows its layer, a product its width.

builtin.module {
  param.declare @fc.weight.q4 : tensor<2x3xsi4>
  param.declare @fc.bias.q : tensor<2xsi16>
  func.func @main(%x: tensor<?x?x3xsi8>) -> tensor<?x?x2xsi16> {
    %w = param.load @fc.weight.q4 : tensor<2x3xsi4>
    %p = qnn.matmul %x, %w {acc = #qnn.acc<64, proved, bound = 3072>, layer = "fc"} : (tensor<?x?x3xsi8>, tensor<2x3xsi4>) -> tensor<?x?x2xsi13>
    %b = param.load @fc.bias.q : tensor<2xsi16>
    %q = qnn.bias %p, %b {acc_shift = 4 : i64, bias_shift = 0 : i64} : (tensor<?x?x2xsi13>, tensor<2xsi16>) -> tensor<?x?x2xsi18>
    %y = qnn.requantize %q {multipliers = array<i64: 21>, shifts = array<i64: 7>} : (tensor<?x?x2xsi18>) -> tensor<?x?x2xsi16>
    func.return %y : tensor<?x?x2xsi16>
  }
}

// LEGAL: qnn.matmul %x, %w {acc = #qnn.acc<48, proved, bound = 3072>, layer = "fc"}
// LEGAL-NOT: reference.layer

// CHECK: qnn.matmul %x, %w {acc = #qnn.acc<48, proved, bound = 3072>, layer = "fc", reference.width = 4 : i64, reference.layer = "fc"}
// CHECK: qnn.requantize
// CHECK-SAME: reference.layer = "fc"
