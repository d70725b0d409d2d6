// A QRNN with window 2: a scan that only carries its input, one product over both taps.
// RUN: mohaq-opt %s -p 'calibrate{data="frames.safetensors" method=minmax},uniform{bits=4},lower-to-qnn' | filecheck %s

// CHECK-DAG: param.declare @qrnn.weight.0.q4 : tensor<6x4xsi4>
// CHECK: %[[X:.*]] = qnn.requantize %0
// CHECK: %[[OLD:.*]], %{{.*}} = qnn.scan "forward" iter(%[[X]]
// CHECK-NEXT: ^bb0(%[[NOW:[0-9]+]]: tensor<?x2xsi4>, %[[HELD:[0-9]+]]: tensor<?x2xsi4>):
// CHECK-NEXT: qnn.yield %[[HELD]], %[[NOW]]
// CHECK: %[[BOTH:.*]] = qnn.concat %[[OLD]], %[[X]]
// CHECK: qnn.matmul %[[BOTH]], {{.*}} bound = 192>
// CHECK: qnn.scan "forward" iter(
// CHECK-NOT: qnn.matmul
// CHECK: qnn.yield

param.declare @qrnn.weight : tensor<1x3x2x2x2xf32>
func.func @main(%0: tensor<?x?x2xf32>) -> tensor<?x?x2xf32> {
  %1 = param.load @qrnn.weight : tensor<1x3x2x2x2xf32>
  %2, %3, %4 = nn.qrnn "l0" %0, %1 {direction = "forward", pooling = "fo"} : (tensor<?x?x2xf32>, tensor<1x3x2x2x2xf32>) -> (tensor<?x?x2xf32>, tensor<1x?x2xf32>, tensor<1x?x2xf32>)
  func.return %2 : tensor<?x?x2xf32>
}
