// Clips of every slot and width; the 16-bit ones keep the largest value (here exactly known).
// RUN: mohaq-opt %s -p 'calibrate{data="frames.safetensors"}' | filecheck %s
// RUN: mohaq-opt %s -p 'calibrate{data="frames.safetensors" method=minmax widths=8}' | filecheck %s --check-prefix MINMAX
// RUN: mohaq-opt %s -p 'calibrate{data="frames.safetensors" method=minmax limit=1 widths=8}' | filecheck %s --check-prefix LIMIT

// CHECK: func.func @main(%x: tensor<?x?x2xf32> {quant.clips = #quant.clips<16 = 4.0>})
// CHECK: nn.sru "l0"
// CHECK-SAME: calibration = {input = #quant.clips<2 = {{.*}}, 4 = {{.*}}, 8 = {{.*}}, 16 = 4.0>, state = #quant.clips<16 = {{.*}}>, vector = #quant.clips<16 = 0.5>, weight = #quant.clips<2 = {{.*}}, 4 = {{.*}}, 8 = 1.0, 16 = 1.0>}
// CHECK: nn.linear "fc"
// CHECK-SAME: output = #quant.clips<16 = {{.*}}>

// The median over two sequences with peaks 2.0 and 4.0.
// MINMAX: nn.sru "l0"
// MINMAX-SAME: input = #quant.clips<8 = 3.0>

// LIMIT: nn.sru "l0"
// LIMIT-SAME: input = #quant.clips<8 = 2.0>

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
