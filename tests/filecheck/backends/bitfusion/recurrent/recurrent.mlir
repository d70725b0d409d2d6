// RUN: mohaq-opt %s -p "legalize-for-bitfusion{target=bitfusion-e}" | filecheck %s
// RUN: mohaq-opt %s -p "legalize-for-bitfusion{target=bitfusion-e},lower-to-bitfusion{target=bitfusion-e max_rows=100}" | filecheck %s --check-prefix=LOW

// A product inside a recurrence becomes one product a gate; lowered, h' is rounded by one section
// of a step and multiplied in the next.

builtin.module {
  param.declare @r.q4 : tensor<4x2xsi4>
  func.func @main(%x: tensor<?x?x2xsi16>) -> tensor<?x?x2xsi16> {
    %r = param.load @r.q4 : tensor<4x2xsi4>
    %y, %h = qnn.scan "forward" iter(%x : tensor<?x?x2xsi16>) -> (tensor<?x?x2xsi16>, tensor<?x2xsi16>) {
    ^bb0(%u: tensor<?x2xsi16>, %before: tensor<?x2xsi16>):
      %q = qnn.requantize %before {multipliers = array<i64: 1>, shifts = array<i64: 8>} : (tensor<?x2xsi16>) -> tensor<?x2xsi8>
      %p = qnn.matmul %q, %r {acc = #qnn.acc<64, proved, bound = 2048>} : (tensor<?x2xsi8>, tensor<4x2xsi4>) -> tensor<?x4xsi13>
      %s = qnn.requantize %p {multipliers = array<i64: 3, 5>, shifts = array<i64: 1, 2>} : (tensor<?x4xsi13>) -> tensor<?x4xsi16>
      %a = qnn.slice %s {offset = 0 : i64, size = 2 : i64} : (tensor<?x4xsi16>) -> tensor<?x2xsi16>
      %b = qnn.slice %s {offset = 2 : i64, size = 2 : i64} : (tensor<?x4xsi16>) -> tensor<?x2xsi16>
      %m = qnn.mul %a, %b : (tensor<?x2xsi16>, tensor<?x2xsi16>) -> tensor<?x2xsi32>
      %n = qnn.requantize %m {multipliers = array<i64: 1>, shifts = array<i64: 15>} : (tensor<?x2xsi32>) -> tensor<?x2xsi16>
      %t = qnn.add %n, %u : (tensor<?x2xsi16>, tensor<?x2xsi16>) -> tensor<?x2xsi17>
      %new = qnn.saturate %t : (tensor<?x2xsi17>) -> tensor<?x2xsi16>
      qnn.yield %new, %new : tensor<?x2xsi16>, tensor<?x2xsi16>
    }
    func.return %y : tensor<?x?x2xsi16>
  }
}

// CHECK-NOT:  param.declare @r.q4 :
// CHECK:      param.declare @r.q4.g0 : tensor<2x2xsi4>
// CHECK-NEXT: param.declare @r.q4.g1 : tensor<2x2xsi4>
// CHECK:      qnn.scan "forward"
// CHECK:      %[[Q:.*]] = qnn.requantize %{{.*}} {multipliers = array<i64: 1>, shifts = array<i64: 8>}
// CHECK:      %[[W0:.*]] = param.load @r.q4.g0
// CHECK-NEXT: %[[P0:.*]] = qnn.matmul %[[Q]], %[[W0]] {acc = #qnn.acc<32, proved
// CHECK-NEXT: %[[A:.*]] = qnn.requantize %[[P0]] {multipliers = array<i64: 3>, shifts = array<i64: 1>}
// CHECK:      %[[W1:.*]] = param.load @r.q4.g1
// CHECK-NEXT: %[[P1:.*]] = qnn.matmul %[[Q]], %[[W1]] {acc = #qnn.acc<32, proved
// CHECK-NEXT: %[[B:.*]] = qnn.requantize %[[P1]] {multipliers = array<i64: 5>, shifts = array<i64: 2>}
// CHECK-NOT:  qnn.slice
// CHECK:      qnn.mul %[[A]], %[[B]]

// LOW:      bitfusion.setup "forward" a 8 w 4 layer 0
// LOW:      bitfusion.loop 3 level 4 "fixed" extent 2 step 2
// LOW:      bitfusion.section loop 31
// LOW:      bitfusion.requantize
// LOW-NEXT: bitfusion.store
// LOW-NEXT: bitfusion.section loop 3
// LOW-NEXT: bitfusion.product
// LOW-NEXT: bitfusion.load
// LOW-NEXT: bitfusion.requantize
// LOW-NEXT: bitfusion.product
