// Scales that a target can take: powers of two where it only shifts, one for a weight or one a row.
// RUN: mohaq-opt %s -p "calibrate{data=frames.safetensors method=minmax granularity=per-channel},uniform{scales=power-of-two granularity=per-tensor}" | filecheck %s --check-prefix SHIFTS
// RUN: mohaq-opt %s -p "calibrate{data=frames.safetensors method=minmax granularity=per-channel},apply-assignment{file=mixed.json}" | filecheck %s --check-prefix ROWS
// RUN: mohaq-opt %s -p "calibrate{data=frames.safetensors method=minmax granularity=per-channel},apply-assignment{file=mixed.json granularity=per-tensor}" | filecheck %s --check-prefix ONE

// SHIFTS: nn.sru "l0"
// SHIFTS-SAME: quant = {weight = #quant.grid<8, 0.015625>, input = #quant.grid<8, 0.03125>, vector = #quant.grid<16, 3.0517578125e-05>
// SHIFTS: nn.linear "fc"
// SHIFTS-SAME: quant = {weight = #quant.grid<8, 0.015625>, input = #quant.grid<8, 0.015625>

// ROWS: nn.sru "l0"
// ROWS-SAME: quant = {weight = #quant.grid<2, 1.0, rows = @l0.weight.steps2>, input = #quant.grid<8, 0.0236
// ROWS: nn.linear "fc"
// ROWS-SAME: quant = {weight = #quant.grid<8, 0.0078{{[0-9]*}}, rows = @fc.weight.steps8>

// ONE: nn.sru "l0"
// ONE-SAME: quant = {weight = #quant.grid<2, 1.0>, input = #quant.grid<8, 0.0236
// ONE: nn.linear "fc"
// ONE-SAME: quant = {weight = #quant.grid<8, 0.0078{{[0-9]*}}>

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
