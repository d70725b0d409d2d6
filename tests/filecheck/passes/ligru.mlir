// A light GRU: the relu candidate has a pre-activation grid of its own, finer or coarser by 2^n.
// RUN: mohaq-opt %s -p 'calibrate{data="frames.safetensors" method=minmax},uniform{bits=4},lower-to-qnn' | filecheck %s

// CHECK: qnn.requantize {{.*}} {multipliers = array<i64: {{[0-9]+, [0-9]+}}>, shifts = array<i64: 34, 32>, layer = "l0"}
// CHECK: qnn.scan "forward" iter(
// CHECK: qnn.lookup {{.*}} in @sigmoid
// CHECK: %[[A:.*]] = qnn.rsub {{.*}} {constant = 32767 : i64}
// CHECK-NEXT: %[[B:.*]] = qnn.saturate %[[A]]
// CHECK-NEXT: %[[C:.*]] = qnn.rsub %[[B]] {constant = 32767 : i64}
// CHECK-NEXT: qnn.saturate %[[C]]
// CHECK: qnn.rsub {{.*}} {constant = 32768 : i64}
// CHECK: qnn.yield

param.declare @ligru.weight : tensor<1x2x2x2xf32>
param.declare @ligru.recurrent : tensor<1x2x2x2xf32>
param.declare @ligru.bias : tensor<1x2x2xf32>
func.func @main(%0: tensor<?x?x2xf32>) -> tensor<?x?x2xf32> {
  %1 = param.load @ligru.weight : tensor<1x2x2x2xf32>
  %2 = param.load @ligru.recurrent : tensor<1x2x2x2xf32>
  %3 = param.load @ligru.bias : tensor<1x2x2xf32>
  %4, %5 = nn.ligru "l0" %0, %1, %2 bias(%3 : tensor<1x2x2xf32>) {direction = "forward", epsilon = 1.000000e-05 : f64} : (tensor<?x?x2xf32>, tensor<1x2x2x2xf32>, tensor<1x2x2x2xf32>) -> (tensor<?x?x2xf32>, tensor<1x?x2xf32>)
  func.return %4 : tensor<?x?x2xf32>
}
