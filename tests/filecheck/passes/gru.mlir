// A GRU that resets after the product: its recurrent bias in the loop, the candidate rounded once.
// RUN: mohaq-opt %s -p 'calibrate{data="frames.safetensors" method=minmax},uniform{bits=4},lower-to-qnn' | filecheck %s

// CHECK-DAG: param.declare @gru.recurrent.0.q4 : tensor<6x2xsi4>
// CHECK-DAG: param.declare @l0.recurrent_bias.0.q : tensor<6xsi16>
// CHECK: qnn.scan "forward" iter(
// CHECK: ^bb0({{.*}}, %[[H:[0-9]+]]: tensor<?x2xsi16>):
// CHECK: %[[READ:.*]] = qnn.requantize %[[H]] {{.*}} -> tensor<?x2xsi4>
// CHECK: %[[SUM:.*]] = qnn.matmul %[[READ]],
// CHECK: qnn.bias %[[SUM]],
// CHECK-COUNT-3: qnn.slice
// CHECK: qnn.lookup {{.*}} in @sigmoid
// CHECK: %[[Z:.*]] = qnn.lookup {{.*}} in @sigmoid
// CHECK: qnn.shl {{.*}} {amount = 15 : i64}
// CHECK: qnn.requantize {{.*}} {multipliers = array<i64: 1>, shifts = array<i64: 14>}
// CHECK: qnn.lookup {{.*}} in @tanh
// CHECK: qnn.rsub %[[Z]] {constant = 32768 : i64}
// CHECK: qnn.mul %[[Z]], %[[H]]
// CHECK: %[[NEW:.*]] = qnn.requantize {{.*}} {multipliers = array<i64: 1>, shifts = array<i64: 15>}
// CHECK: qnn.yield %[[NEW]], %[[NEW]]

param.declare @gru.weight : tensor<1x3x2x2xf32>
param.declare @gru.recurrent : tensor<1x3x2x2xf32>
param.declare @gru.bias : tensor<1x3x2xf32>
param.declare @gru.recurrent_bias : tensor<1x2xf32>
func.func @main(%0: tensor<?x?x2xf32>) -> tensor<?x?x2xf32> {
  %1 = param.load @gru.weight : tensor<1x3x2x2xf32>
  %2 = param.load @gru.recurrent : tensor<1x3x2x2xf32>
  %3 = param.load @gru.bias : tensor<1x3x2xf32>
  %4 = param.load @gru.recurrent_bias : tensor<1x2xf32>
  %5, %6 = nn.gru "l0" %0, %1, %2 bias(%3 : tensor<1x3x2xf32>) recurrent_bias(%4 : tensor<1x2xf32>) {direction = "forward", reset_after = true} : (tensor<?x?x2xf32>, tensor<1x3x2x2xf32>, tensor<1x3x2x2xf32>) -> (tensor<?x?x2xf32>, tensor<1x?x2xf32>)
  func.return %5 : tensor<?x?x2xf32>
}
