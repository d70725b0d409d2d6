// A scale for each column fits no slot: the grid stays and says why; strict refuses.
// RUN: mohaq-opt %s -p absorb-fake-quantize | filecheck %s
// RUN: mohaq-opt %s -p 'absorb-fake-quantize{strict=true}' --verify-diagnostics

// CHECK: nn.fake_quantize %w, %sw {width = 4 : i64, signed = true, axis = 1 : i64, left = "it has a scale for each column of a weight, a slot has one for each row"}
// CHECK: nn.linear "fc" %x
// CHECK-SAME: given = {input = #quant.grid<8, 0.125>}

// expected-error {{a grid of the model fits no slot}}
param.declare @fc.weight : tensor<3x2xf32>
param.declare @fc.bias : tensor<3xf32>
param.declare @x.scale : tensor<1xf32>
param.declare @w.columns : tensor<2xf32>

func.func @main(%x: tensor<?x?x2xf32>) -> tensor<?x?x3xf32> {
  %w = param.load @fc.weight : tensor<3x2xf32>
  %b = param.load @fc.bias : tensor<3xf32>
  %sx = param.load @x.scale : tensor<1xf32>
  %sw = param.load @w.columns : tensor<2xf32>
  %xq = nn.fake_quantize %x, %sx {width = 8 : i64, signed = true, axis = 0 : i64} : (tensor<?x?x2xf32>, tensor<1xf32>) -> tensor<?x?x2xf32>
  %wq = nn.fake_quantize %w, %sw {width = 4 : i64, signed = true, axis = 1 : i64} : (tensor<3x2xf32>, tensor<2xf32>) -> tensor<3x2xf32>
  %y = nn.linear "fc" %xq, %wq bias %b : (tensor<?x?x2xf32>, tensor<3x2xf32>, tensor<3xf32>) -> tensor<?x?x3xf32>
  func.return %y : tensor<?x?x3xf32>
}
