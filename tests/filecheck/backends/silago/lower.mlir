// RUN: mohaq-opt %s -p "lower-to-silago" | filecheck %s
// RUN: mohaq-opt %s -p "lower-to-silago" | mohaq-opt | filecheck %s

// A product becomes a phase, what follows it elementwise another one: ADD, SIGM, MULT.

builtin.module {
  qnn.piecewise @nacu_sigmoid {knots = array<i64: 0>, slopes = array<i64: 1>, offsets = array<i64: 0>, fraction = 11 : i64, input_shift = 0 : i64, mirror = 0 : i64}
  func.func @main(%x: tensor<?x?x4xsi8>, %w: tensor<6x4xsi8>, %b: tensor<6xsi16>) -> tensor<?x?x6xsi16> {
    %s = qnn.matmul %x, %w {acc = #qnn.acc<32, proved, bound = 65536>, layer = "l0"} : (tensor<?x?x4xsi8>, tensor<6x4xsi8>) -> tensor<?x?x6xsi18>
    %t = qnn.shr %s {shifts = array<i64: 3, 3>, bands = array<i64: 0, 0>, layer = "l0"} : (tensor<?x?x6xsi18>) -> tensor<?x?x6xsi16>
    %u = qnn.add %t, %b {layer = "l0"} : (tensor<?x?x6xsi16>, tensor<6xsi16>) -> tensor<?x?x6xsi17>
    %v = qnn.saturate %u {layer = "l0"} : (tensor<?x?x6xsi17>) -> tensor<?x?x6xsi16>
    %g = qnn.lookup %v in @nacu_sigmoid {layer = "l0"} : (tensor<?x?x6xsi16>) -> tensor<?x?x6xsi16>
    %m = qnn.mul %g, %t {layer = "l0"} : (tensor<?x?x6xsi16>, tensor<?x?x6xsi16>) -> tensor<?x?x6xsi32>
    %y = qnn.shr %m {shifts = array<i64: 11>, layer = "l0"} : (tensor<?x?x6xsi32>) -> tensor<?x?x6xsi16>
    func.return %y : tensor<?x?x6xsi16>
  }
}

// CHECK-NOT: qnn.piecewise
// CHECK: %[[T:.*]] = phase.matrix %x, %w {shifts = array<i64: 3, 3>, bands = array<i64: 0, 0>, layer = "l0"}
// CHECK: phase.vector %[[T]], %b {constants = array<i64>, passes = array<i64: 1, 0, 1, 2, 0, 19, 2, -1, 3, 0, 7, 3, 0, 4, 11>, kept = array<i64: 4>, layer = "l0"}
