// RUN: mohaq-opt %s -p fold | filecheck %s

// CHECK-DAG: param.declare @fc.weight.folded : tensor<3x2xf32>
// CHECK-DAG: param.declare @fc.bias.folded : tensor<3xf32>
// CHECK: %[[Y:.*]] = nn.linear "fc" %x, %{{.*}} bias %{{.*}} :
// CHECK-NOT: nn.batch_norm
// CHECK-NOT: nn.move
// CHECK: func.return %[[Y]]

param.declare @fc.weight : tensor<3x2xf32>
param.declare @fc.bias : tensor<3xf32>

func.func @main(%x: tensor<?x?x2xf32>) -> tensor<?x?x3xf32> {
  %w = param.load @fc.weight : tensor<3x2xf32>
  %b = param.load @fc.bias : tensor<3xf32>
  %h = nn.linear "fc" %x, %w bias %b : (tensor<?x?x2xf32>, tensor<3x2xf32>, tensor<3xf32>) -> tensor<?x?x3xf32>
  %y = nn.batch_norm "bn" %h, %b, %b, %b, %b {axis = 2 : i64, epsilon = 1.0 : f64} : (tensor<?x?x3xf32>, tensor<3xf32>, tensor<3xf32>, tensor<3xf32>, tensor<3xf32>) -> tensor<?x?x3xf32>
  func.return %y : tensor<?x?x3xf32>
}
