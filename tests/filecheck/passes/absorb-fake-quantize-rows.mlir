// A scale for each row becomes a grid of rows; an input keeps its zero point (uint8, 110).
// RUN: mohaq-opt %s -p absorb-fake-quantize | filecheck %s

// CHECK: param.declare @fc.weight.steps4 : tensor<3xf32>
// CHECK-NOT: nn.fake_quantize
// CHECK: nn.linear "fc" %x, %w bias %b
// CHECK-SAME: weight = #quant.grid<4, {{0.[0-9]+}}, rows = @fc.weight.steps4>
// CHECK-SAME: input = #quant.grid<8, 0.125, zero = -18>

param.declare @fc.weight : tensor<3x2xf32>
param.declare @fc.bias : tensor<3xf32>
param.declare @x.scale : tensor<1xf32>
param.declare @x.zero : tensor<1xsi64>
param.declare @w.scales : tensor<3xf32>

func.func @main(%x: tensor<?x?x2xf32>) -> tensor<?x?x3xf32> {
  %w = param.load @fc.weight : tensor<3x2xf32>
  %b = param.load @fc.bias : tensor<3xf32>
  %sx = param.load @x.scale : tensor<1xf32>
  %zx = param.load @x.zero : tensor<1xsi64>
  %sw = param.load @w.scales : tensor<3xf32>
  %xq = nn.fake_quantize %x, %sx zero(%zx : tensor<1xsi64>) {width = 8 : i64, signed = false, axis = 0 : i64} : (tensor<?x?x2xf32>, tensor<1xf32>) -> tensor<?x?x2xf32>
  %wq = nn.fake_quantize %w, %sw {width = 4 : i64, signed = true, axis = 0 : i64} : (tensor<3x2xf32>, tensor<3xf32>) -> tensor<3x2xf32>
  %y = nn.linear "fc" %xq, %wq bias %b : (tensor<?x?x2xf32>, tensor<3x2xf32>, tensor<3xf32>) -> tensor<?x?x3xf32>
  func.return %y : tensor<?x?x3xf32>
}
