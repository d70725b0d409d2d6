// An RNN: h is what the table gives, in Q0.15.
// RUN: mohaq-opt %s -p 'calibrate{data="frames.safetensors" method=minmax},uniform{bits=4},lower-to-qnn' | filecheck %s

// CHECK: func.func @main({{.*}}) -> (tensor<?x?x2xsi16> {quant.grid = #quant.grid<16, 3.0517578125e-05>})
// CHECK: qnn.scan "forward" iter(
// CHECK: qnn.matmul {{.*}} bound = 112>}
// CHECK: qnn.shl {{.*}} {amount = 1 : i64}
// CHECK-NEXT: qnn.saturate
// CHECK-NEXT: %[[H:.*]] = qnn.lookup {{.*}} in @tanh
// CHECK-NEXT: qnn.yield %[[H]], %[[H]]

param.declare @rnn.weight : tensor<1x1x2x2xf32>
param.declare @rnn.recurrent : tensor<1x1x2x2xf32>
param.declare @rnn.bias : tensor<1x1x2xf32>
func.func @main(%0: tensor<?x?x2xf32>) -> tensor<?x?x2xf32> {
  %1 = param.load @rnn.weight : tensor<1x1x2x2xf32>
  %2 = param.load @rnn.recurrent : tensor<1x1x2x2xf32>
  %3 = param.load @rnn.bias : tensor<1x1x2xf32>
  %4, %5 = nn.rnn "l0" %0, %1, %2 bias(%3 : tensor<1x1x2xf32>) {direction = "forward"} : (tensor<?x?x2xf32>, tensor<1x1x2x2xf32>, tensor<1x1x2x2xf32>) -> (tensor<?x?x2xf32>, tensor<1x?x2xf32>)
  func.return %4 : tensor<?x?x2xf32>
}
