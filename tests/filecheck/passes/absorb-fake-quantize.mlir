// One scale for a tensor becomes the grid of the slot.
// RUN: mohaq-opt %s -p absorb-fake-quantize | filecheck %s
// Calibration keeps the model's own grids at their width, so that uniform gives them back.
// RUN: mohaq-opt %s -p 'absorb-fake-quantize,calibrate{data="frames.safetensors"},uniform{bits=8}' | filecheck %s --check-prefix UNIFORM

// CHECK: func.func @main
// CHECK-NOT: nn.fake_quantize
// CHECK: nn.linear "fc" %x, %w bias %b
// CHECK-SAME: given = {weight = #quant.grid<4, 0.25>, input = #quant.grid<8, 0.125>}
// CHECK-SAME: quant = {weight = #quant.grid<4, 0.25>, input = #quant.grid<8, 0.125>}
// CHECK-SAME: calibration = {weight = #quant.clips<4 = 1.75>, input = #quant.clips<8 = 15.875>}

// UNIFORM: nn.linear "fc"
// UNIFORM-SAME: quant = {weight = #quant.grid<8, {{[0-9.]+}}>, input = #quant.grid<8, 0.125>

param.declare @fc.weight : tensor<3x2xf32>
param.declare @fc.bias : tensor<3xf32>
param.declare @x.scale : tensor<1xf32>
param.declare @w.scale : tensor<1xf32>

func.func @main(%x: tensor<?x?x2xf32>) -> tensor<?x?x3xf32> {
  %w = param.load @fc.weight : tensor<3x2xf32>
  %b = param.load @fc.bias : tensor<3xf32>
  %sx = param.load @x.scale : tensor<1xf32>
  %sw = param.load @w.scale : tensor<1xf32>
  %xq = nn.fake_quantize %x, %sx {width = 8 : i64, signed = true, axis = 0 : i64} : (tensor<?x?x2xf32>, tensor<1xf32>) -> tensor<?x?x2xf32>
  %wq = nn.fake_quantize %w, %sw {width = 4 : i64, signed = true, axis = 0 : i64} : (tensor<3x2xf32>, tensor<1xf32>) -> tensor<3x2xf32>
  %y = nn.linear "fc" %xq, %wq bias %b : (tensor<?x?x2xf32>, tensor<3x2xf32>, tensor<3xf32>) -> tensor<?x?x3xf32>
  func.return %y : tensor<?x?x3xf32>
}
