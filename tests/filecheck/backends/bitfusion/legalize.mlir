// RUN: mohaq-opt %s -p "legalize-for-bitfusion{target=bitfusion-e}" | filecheck %s

// Multipliers get 15 bits, rounded; those that fit stay.

builtin.module {
  func.func @main(%x: tensor<?x?x4xsi16>) -> tensor<?x?x4xsi8> {
    %a = qnn.requantize %x {multipliers = array<i64: 1879105538, 3>, shifts = array<i64: 42, 2>} : (tensor<?x?x4xsi16>) -> tensor<?x?x4xsi16>
    %b = qnn.requantize %a {multipliers = array<i64: 1>, shifts = array<i64: 8>} : (tensor<?x?x4xsi16>) -> tensor<?x?x4xsi8>
    func.return %b : tensor<?x?x4xsi8>
  }
}

// CHECK: qnn.requantize %{{.*}} {multipliers = array<i64: 28673, 3>, shifts = array<i64: 26, 2>}
// CHECK: qnn.requantize %{{.*}} {multipliers = array<i64: 1>, shifts = array<i64: 8>}
