// RUN: mohaq-opt %s -p "legalize-for-silago{target=silago-mohaq}" | filecheck %s

// A rescale of 2^-5 to 8 bits: on top of 16 bits first, then rounded; sigmoid is the NACU's; a gate
// of Q4.11 times a state is shifted by 11.

builtin.module {
  qnn.table @sigmoid dense<0> : tensor<257xsi16>
  func.func @main(%x: tensor<?x4xsi16>, %c: tensor<?x4xsi16>) -> (tensor<?x4xsi8>, tensor<?x4xsi16>) {
    %a = qnn.requantize %x {multipliers = array<i64: 1024>, shifts = array<i64: 15>} : (tensor<?x4xsi16>) -> tensor<?x4xsi8>
    %f = qnn.lookup %x in @sigmoid : (tensor<?x4xsi16>) -> tensor<?x4xsi16>
    %p = qnn.mul %f, %c : (tensor<?x4xsi16>, tensor<?x4xsi16>) -> tensor<?x4xsi32>
    %h = qnn.requantize %p {multipliers = array<i64: 1>, shifts = array<i64: 15>} : (tensor<?x4xsi32>) -> tensor<?x4xsi16>
    func.return %a, %h : tensor<?x4xsi8>, tensor<?x4xsi16>
  }
}

// CHECK: qnn.piecewise @nacu_sigmoid
// CHECK: %[[TOP:.*]] = qnn.shr %x {shifts = array<i64: -3>} : (tensor<?x4xsi16>) -> tensor<?x4xsi16>
// CHECK: qnn.requantize %[[TOP]] {multipliers = array<i64: 1>, shifts = array<i64: 8>} : (tensor<?x4xsi16>) -> tensor<?x4xsi8>
// CHECK: %[[GATE:.*]] = qnn.lookup %x in @nacu_sigmoid
// CHECK: %[[P:.*]] = qnn.mul %[[GATE]], %c
// CHECK: qnn.shr %[[P]] {shifts = array<i64: 11>}
