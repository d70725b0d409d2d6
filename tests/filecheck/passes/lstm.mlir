// An LSTM with peepholes: one product outside, one a step; c in its state grid, h in Q0.15.
// RUN: mohaq-opt %s -p 'calibrate{data="frames.safetensors" method=minmax},uniform{bits=4},lower-to-qnn' | filecheck %s
// RUN: mohaq-opt %s -p 'calibrate{data="frames.safetensors" method=minmax},uniform{bits=16}' | filecheck %s --check-prefix WIDE

// CHECK-DAG: param.declare @lstm.weight.q4 : tensor<8x2xsi4>
// CHECK-DAG: param.declare @lstm.recurrent.0.q4 : tensor<8x2xsi4>
// CHECK-DAG: param.declare @lstm.peephole.o0.q : tensor<2xsi16>
// CHECK-DAG: qnn.table @tanh
// CHECK: func.func @main({{.*}}) -> (tensor<?x?x2xsi16> {quant.grid = #quant.grid<16, 3.0517578125e-05>})
// CHECK: qnn.matmul {{.*}} bound = 112>, layer = "l0"}
// CHECK-COUNT-4: qnn.slice
// CHECK: qnn.scan "forward" iter(
// CHECK: ^bb0(%{{.*}}, %{{.*}}, %{{.*}}, %{{.*}}, %[[H:[0-9]+]]: tensor<?x2xsi16>, %[[C:[0-9]+]]: tensor<?x2xsi16>):
// CHECK: %[[READ:.*]] = qnn.requantize %[[H]] {{.*}} -> tensor<?x2xsi4>
// CHECK: qnn.matmul %[[READ]], {{.*}} bound = 112>}
// CHECK: qnn.mul %{{.*}}, %[[C]] : (tensor<2xsi16>
// CHECK: qnn.lookup {{.*}} in @sigmoid
// CHECK: qnn.lookup {{.*}} in @sigmoid
// CHECK: qnn.shl {{.*}} {amount = 1 : i64}
// CHECK: %[[G:.*]] = qnn.lookup {{.*}} in @tanh
// CHECK: qnn.mul %{{.*}}, %[[G]]
// CHECK: %[[NEW:.*]] = qnn.requantize {{.*}} {multipliers = array<i64: 1>, shifts = array<i64: 15>}
// CHECK: qnn.mul %{{.*}}, %[[NEW]] : (tensor<2xsi16>
// CHECK: qnn.lookup {{.*}} in @sigmoid
// CHECK: qnn.lookup {{.*}} in @tanh
// CHECK: %[[OUT:.*]] = qnn.requantize {{.*}} {multipliers = array<i64: 1>, shifts = array<i64: 15>}
// CHECK: qnn.yield %[[OUT]], %[[OUT]], %[[NEW]]

// At 16 bits h is read as it is held.
// WIDE: calibration = {hidden = #quant.clips<{{.*}}>, input = {{.*}}, output = {{.*}}, peephole = #quant.clips<16 = 1.0>, recurrent = #quant.clips<{{.*}}16 = 1.0>, state =
// WIDE-SAME: hidden = #quant.grid<16, 3.0517578125e-05>
// WIDE-SAME: output = #quant.grid<16, 3.0517578125e-05>

param.declare @lstm.weight : tensor<1x4x2x2xf32>
param.declare @lstm.recurrent : tensor<1x4x2x2xf32>
param.declare @lstm.bias : tensor<1x4x2xf32>
param.declare @lstm.peephole : tensor<1x3x2xf32>
func.func @main(%0: tensor<?x?x2xf32>) -> tensor<?x?x2xf32> {
  %1 = param.load @lstm.weight : tensor<1x4x2x2xf32>
  %2 = param.load @lstm.recurrent : tensor<1x4x2x2xf32>
  %3 = param.load @lstm.bias : tensor<1x4x2xf32>
  %4 = param.load @lstm.peephole : tensor<1x3x2xf32>
  %5, %6, %7 = nn.lstm "l0" %0, %1, %2 bias(%3 : tensor<1x4x2xf32>) peephole(%4 : tensor<1x3x2xf32>) {direction = "forward", coupled = false} : (tensor<?x?x2xf32>, tensor<1x4x2x2xf32>, tensor<1x4x2x2xf32>) -> (tensor<?x?x2xf32>, tensor<1x?x2xf32>, tensor<1x?x2xf32>)
  func.return %5 : tensor<?x?x2xf32>
}
