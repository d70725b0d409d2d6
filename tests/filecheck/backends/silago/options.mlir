// Preferences are known and change nothing; targets have a default.
// RUN: mohaq-opt %s -p "legalize-for-silago,lower-to-silago{prefer=energy}" | filecheck %s
// RUN: mohaq-opt %s -p "legalize-for-silago{target=silago1-nn},lower-to-silago" | filecheck %s

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

// CHECK: phase.vector %a, %b {constants = array<i64: 32767>, passes = array<i64: 1, 0, 1, 3, 0, 4, 2, 3, 4, 0, 4, 2, 4, 5, 0>, kept = array<i64: 5>
