// Every operation with the values that it can have, then the program; a sum that is not proved is named.
// RUN: mohaq-opt %s --split-input-file --verify-diagnostics -p 'check-ranges{accumulator=16 annotate=true}' 2>&1 | filecheck %s

// Views and parameters have no lines.
// CHECK: clamp: rsub in [-32, 31], 6 bits of si6
// CHECK-NEXT: clamp: saturate in [-8, 7], 4 bits of si4
// CHECK-NEXT: clamp: lookup step in [-100, 100], 8 bits of si16
// CHECK: qnn.rsub {{.*}}range = array<i64: -32, 31>
// CHECK: qnn.saturate {{.*}}range = array<i64: -8, 7>
qnn.table @step dense<[-100, -100, -100, 100, 100]> : tensor<5xsi16>

func.func @main(%x: tensor<?x?x2xsi6>, %y: tensor<?x?x2xsi16>) -> (tensor<?x?x2xsi4>, tensor<?x?x2xsi16>) {
  %a = qnn.rsub %x {constant = -1 : i64, layer = "clamp"} : (tensor<?x?x2xsi6>) -> tensor<?x?x2xsi6>
  %b = qnn.saturate %a {layer = "clamp"} : (tensor<?x?x2xsi6>) -> tensor<?x?x2xsi4>
  %c = qnn.lookup %y in @step {layer = "clamp"} : (tensor<?x?x2xsi16>) -> tensor<?x?x2xsi16>
  func.return %b, %c : tensor<?x?x2xsi4>, tensor<?x?x2xsi16>
}

// -----

// 4 inputs of 8 bits times weights of any size in 8 bits.
func.func @main(%x: tensor<?x?x4xsi8>, %w: tensor<3x4xsi8>) -> tensor<?x?x3xsi18> {
  // expected-error {{a sum needs 18 bits, the accumulator has 16}}
  %s = qnn.matmul %x, %w {acc = #qnn.acc<64, proved, bound = 65536>, layer = "fc"} : (tensor<?x?x4xsi8>, tensor<3x4xsi8>) -> tensor<?x?x3xsi18>
  func.return %s : tensor<?x?x3xsi18>
}
