// RUN: mohaq-opt %s | mohaq-opt | filecheck %s
// RUN: mohaq-opt %s --print-op-generic | mohaq-opt | filecheck %s

param.declare @l0.weight : tensor<1x3x4x6xf32>
param.declare @l0.vector : tensor<1x2x4xf32>
param.declare @l0.bias : tensor<1x2x4xf32>
param.declare @out.weight : tensor<5x4xf32>
param.declare @out.bias : tensor<5xf32>

func.func @main(%x: tensor<?x?x6xf32>) -> tensor<?x?x5xf32> {
  %w = param.load @l0.weight : tensor<1x3x4x6xf32>
  %v = param.load @l0.vector : tensor<1x2x4xf32>
  %b = param.load @l0.bias : tensor<1x2x4xf32>
  %h, %c = nn.sru "l0" %x, %w, %v, %b {direction = "forward", skip = "none", skip_scale = 1.0 : f64, activation = "tanh", quant = {input = #quant.grid<8, 0.0625>}} : (tensor<?x?x6xf32>, tensor<1x3x4x6xf32>, tensor<1x2x4xf32>, tensor<1x2x4xf32>) -> (tensor<?x?x4xf32>, tensor<1x?x4xf32>)
  %ow = param.load @out.weight : tensor<5x4xf32>
  %ob = param.load @out.bias : tensor<5xf32>
  %y = nn.linear "out" %h, %ow bias %ob {calibration = {weight = #quant.clips<2 = 1.5, 8 = 3.0>}} : (tensor<?x?x4xf32>, tensor<5x4xf32>, tensor<5xf32>) -> tensor<?x?x5xf32>
  func.return %y : tensor<?x?x5xf32>
}

// CHECK: nn.sru "l0" %x, %w, %v, %b
// CHECK-SAME: activation = "tanh"
// CHECK-SAME: #quant.grid<8, 0.0625>
// CHECK: nn.linear "out" %h, %ow bias %ob
// CHECK-SAME: calibration = {weight = #quant.clips<2 = 1.5, 8 = 3.0>}
