// Integers only: one product for all gates, the bias aligned, a recurrence loop, the classifier.
// RUN: mohaq-opt %s -p 'calibrate{data="frames.safetensors" method=minmax},uniform{bits=4},lower-to-qnn' | filecheck %s
// RUN: mohaq-opt %s -p 'calibrate{data="frames.safetensors" method=minmax},uniform{bits=16},lower-to-qnn' | filecheck %s --check-prefix WIDE

// CHECK-DAG: param.declare @l0.weight.q4 : tensor<6x2xsi4>
// CHECK-DAG: qnn.table @sigmoid
// CHECK: func.func @main(%0: tensor<?x?x2xsi16> {quant.grid = #quant.grid<16, 0.00012207403790398877>})
// CHECK: %[[X:.*]] = qnn.requantize %0 {{.*}} -> tensor<?x?x2xsi4>
// CHECK: %[[W:.*]] = param.load @l0.weight.q4
// The longest row is (-5, 7): 12 times 8, the largest input.
// CHECK: %[[A:.*]] = qnn.matmul %[[X]], %[[W]] {acc = #qnn.acc<64, proved, bound = 96>, layer = "l0"}
// CHECK: %[[B:.*]] = qnn.bias %[[A]], {{.*}} {acc_shift = 10 : i64, bias_shift = 0 : i64, layer = "l0"}
// CHECK: qnn.requantize %[[B]] {multipliers = array<i64: {{[0-9]+, [0-9]+, [0-9]+}}>
// CHECK-COUNT-3: qnn.slice
// CHECK: qnn.scan "forward" iter(
// CHECK: qnn.lookup {{.*}} in @sigmoid
// CHECK: qnn.lookup {{.*}} in @sigmoid
// CHECK: qnn.rsub {{.*}} {constant = 32768 : i64}
// CHECK: qnn.yield
// CHECK: qnn.matmul {{.*}} bound = 112>, layer = "fc"}
// CHECK: func.return {{.*}} : tensor<?x?x3xsi16>
// CHECK-NOT: f32

// At 16 bits the input is read as it is held.
// WIDE: func.func @main(%0:
// WIDE-NOT: qnn.requantize %0
// WIDE: qnn.matmul %0,

param.declare @l0.weight : tensor<1x3x2x2xf32>
param.declare @l0.vector : tensor<1x2x2xf32>
param.declare @l0.bias : tensor<1x2x2xf32>
param.declare @fc.weight : tensor<3x2xf32>
param.declare @fc.bias : tensor<3xf32>

func.func @main(%x: tensor<?x?x2xf32>) -> tensor<?x?x3xf32> {
  %w = param.load @l0.weight : tensor<1x3x2x2xf32>
  %v = param.load @l0.vector : tensor<1x2x2xf32>
  %b = param.load @l0.bias : tensor<1x2x2xf32>
  %h, %c = nn.sru "l0" %x, %w, %v, %b {direction = "forward", skip = "none", skip_scale = 1.0 : f64, activation = "identity"} : (tensor<?x?x2xf32>, tensor<1x3x2x2xf32>, tensor<1x2x2xf32>, tensor<1x2x2xf32>) -> (tensor<?x?x2xf32>, tensor<1x?x2xf32>)
  %fw = param.load @fc.weight : tensor<3x2xf32>
  %fb = param.load @fc.bias : tensor<3xf32>
  %y = nn.linear "fc" %h, %fw bias %fb : (tensor<?x?x2xf32>, tensor<3x2xf32>, tensor<3xf32>) -> tensor<?x?x3xf32>
  func.return %y : tensor<?x?x3xf32>
}
