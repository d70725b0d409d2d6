// RUN: mohaq-opt %s -p "legalize-for-epiphany{target=epiphany-e16}" | filecheck %s

// A sum that fits 32 bits by its types is proved there. One that may not gets a pair of registers.
// 16-bit weights times 16-bit activations go in two passes, joined exactly. Multipliers get 15 bits.

builtin.module {
  param.declare @narrow : tensor<2x3xsi4>
  param.declare @wide : tensor<2x3xsi16>
  func.func @main(%x: tensor<?x?x3xsi8>, %y: tensor<?x?x3xsi16>) -> (tensor<?x?x2xsi16>, tensor<?x?x2xsi16>) {
    %w = param.load @narrow : tensor<2x3xsi4>
    %p = qnn.matmul %x, %w {acc = #qnn.acc<64, proved, bound = 3072>} : (tensor<?x?x3xsi8>, tensor<2x3xsi4>) -> tensor<?x?x2xsi13>
    %q = qnn.requantize %p {multipliers = array<i64: 1879105538>, shifts = array<i64: 42>} : (tensor<?x?x2xsi13>) -> tensor<?x?x2xsi16>
    %v = param.load @wide : tensor<2x3xsi16>
    %s = qnn.matmul %y, %v {acc = #qnn.acc<64, proved, bound = 3221225472>} : (tensor<?x?x3xsi16>, tensor<2x3xsi16>) -> tensor<?x?x2xsi33>
    %r = qnn.requantize %s {multipliers = array<i64: 3>, shifts = array<i64: 18>} : (tensor<?x?x2xsi33>) -> tensor<?x?x2xsi16>
    func.return %q, %r : tensor<?x?x2xsi16>, tensor<?x?x2xsi16>
  }
}

// CHECK:      qnn.matmul %{{.*}}, %{{.*}} {acc = #qnn.acc<32, proved, bound = 3072>} : (tensor<?x?x3xsi8>, tensor<2x3xsi4>)
// CHECK-NEXT: qnn.requantize %{{.*}} {multipliers = array<i64: 28673>, shifts = array<i64: 26>}
// CHECK:      %{{.*}}, %{{.*}} = qnn.split
// CHECK-NEXT: qnn.matmul %{{.*}}, %{{.*}} {acc = #qnn.acc<32, proved
// CHECK-NEXT: qnn.matmul %{{.*}}, %{{.*}} {acc = #qnn.acc<32, proved
// CHECK-NEXT: qnn.shl %{{.*}} {amount = 8 : i64}
// CHECK-NEXT: qnn.add
// CHECK-NEXT: qnn.saturate %{{.*}} : {{.*}} -> tensor<?x?x2xsi33>
// CHECK-NEXT: qnn.requantize %{{.*}} {multipliers = array<i64: 3>, shifts = array<i64: 18>}
