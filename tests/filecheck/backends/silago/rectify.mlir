// RUN: mohaq-opt %s -p "legalize-for-silago{target=silago1-nn}" | filecheck %s --check-prefix LEGAL
// RUN: mohaq-opt %s -p "legalize-for-silago{target=silago1-nn},lower-to-silago" | filecheck %s

// max(a + b, 0): the sum saturates first, then two differences; on the fabric ADD, SUBT, SUBT.

builtin.module {
  func.func @main(%a: tensor<?x4xsi16>, %b: tensor<?x4xsi16>) -> tensor<?x4xsi16> {
    %s = qnn.add %a, %b {layer = "l0"} : (tensor<?x4xsi16>, tensor<?x4xsi16>) -> tensor<?x4xsi17>
    %d = qnn.rsub %s {constant = 32767 : i64, layer = "l0"} : (tensor<?x4xsi17>) -> tensor<?x4xsi18>
    %l = qnn.saturate %d {layer = "l0"} : (tensor<?x4xsi18>) -> tensor<?x4xsi16>
    %e = qnn.rsub %l {constant = 32767 : i64, layer = "l0"} : (tensor<?x4xsi16>) -> tensor<?x4xsi17>
    %y = qnn.saturate %e {layer = "l0"} : (tensor<?x4xsi17>) -> tensor<?x4xsi16>
    func.return %y : tensor<?x4xsi16>
  }
}

// LEGAL: %[[S:.*]] = qnn.add %a, %b
// LEGAL-NEXT: %[[T:.*]] = qnn.saturate %[[S]]
// LEGAL-NEXT: %[[D:.*]] = qnn.rsub %[[T]] {constant = 32767 : i64
// LEGAL-NEXT: %[[L:.*]] = qnn.saturate %[[D]]
// LEGAL-NEXT: %[[E:.*]] = qnn.rsub %[[L]] {constant = 32767 : i64
// LEGAL-NEXT: qnn.saturate %[[E]]

// CHECK: phase.vector %a, %b {constants = array<i64: 32767>, passes = array<i64: 1, 0, 1, 3, 0, 4, 2, 3, 4, 0, 4, 2, 4, 5, 0>, kept = array<i64: 5>
