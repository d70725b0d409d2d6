// RUN: mohaq-opt %s -p lower-to-qnn --verify-diagnostics

// expected-error {{input 0 of the program has no grid}}
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
