// RUN: mohaq-opt %s -p "lower-to-bitfusion{target=bitfusion-e max_rows=100}" | filecheck %s

// What one block stores and the next one loads stays on chip: both declare it.

builtin.module {
  param.declare @a.weight.q4 : tensor<2x3xsi4>
  param.declare @b.weight.q4 : tensor<4x2xsi4>
  func.func @main(%x: tensor<?x?x3xsi8>) -> tensor<?x?x4xsi16> {
    %v = param.load @a.weight.q4 : tensor<2x3xsi4>
    %p = qnn.matmul %x, %v {acc = #qnn.acc<32, proved, bound = 3072>} : (tensor<?x?x3xsi8>, tensor<2x3xsi4>) -> tensor<?x?x2xsi13>
    %h = qnn.requantize %p {multipliers = array<i64: 21>, shifts = array<i64: 9>} : (tensor<?x?x2xsi13>) -> tensor<?x?x2xsi8>
    %w = param.load @b.weight.q4 : tensor<4x2xsi4>
    %q = qnn.matmul %h, %w {acc = #qnn.acc<32, proved, bound = 2048>} : (tensor<?x?x2xsi8>, tensor<4x2xsi4>) -> tensor<?x?x4xsi13>
    %y = qnn.requantize %q {multipliers = array<i64: 21>, shifts = array<i64: 7>} : (tensor<?x?x4xsi13>) -> tensor<?x?x4xsi16>
    func.return %y : tensor<?x?x4xsi16>
  }
}

// CHECK:      bitfusion.region @value address [[H:[0-9]+]] bits 1600 width 0
// CHECK:      bitfusion.setup "gemm" a 8 w 4 layer 0
// CHECK-NEXT: bitfusion.hold "wbuf" address [[H]] pitch 16 rows 100
// CHECK-NEXT: bitfusion.loop
// CHECK:      bitfusion.base_addr 3 "obuf" width 8 signed 1 address [[H]]
// CHECK:      bitfusion.setup "gemm" a 8 w 4 layer 1
// CHECK-NEXT: bitfusion.hold "wbuf" address [[H]] pitch 16 rows 100
// CHECK:      bitfusion.base_addr 0 "ibuf" width 8 signed 1 address [[H]]
