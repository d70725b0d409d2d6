// Clamps that no value reaches, and what nothing uses.
// RUN: mohaq-opt %s -p simplify-integers | filecheck %s

// CHECK-NOT: @unused
qnn.table @unused dense<[0, 1, 2, 3]> : tensor<4xsi16>
// CHECK: qnn.table @held
qnn.table @held dense<[-8, -4, 4, 8]> : tensor<4xsi16>

func.func @main(%x: tensor<?x?x2xsi16>) -> tensor<?x?x2xsi16> {
  // CHECK: %[[T:.*]] = qnn.lookup
  %t = qnn.lookup %x in @held : (tensor<?x?x2xsi16>) -> tensor<?x?x2xsi16>
  // CHECK-NEXT: %[[A:.*]] = qnn.add %[[T]], %[[T]]
  %a = qnn.add %t, %t : (tensor<?x?x2xsi16>, tensor<?x?x2xsi16>) -> tensor<?x?x2xsi17>
  // [-16, 16] fits 6 bits, not 5.
  // CHECK-NEXT: %[[C:.*]] = qnn.saturate %[[A]] : (tensor<?x?x2xsi17>) -> tensor<?x?x2xsi5>
  %b = qnn.saturate %a : (tensor<?x?x2xsi17>) -> tensor<?x?x2xsi6>
  %c = qnn.saturate %b : (tensor<?x?x2xsi6>) -> tensor<?x?x2xsi5>
  // CHECK-NEXT: qnn.requantize %[[C]]
  %y = qnn.requantize %c {multipliers = array<i64: 5>, shifts = array<i64: 1>} : (tensor<?x?x2xsi5>) -> tensor<?x?x2xsi16>
  func.return %y : tensor<?x?x2xsi16>
}
